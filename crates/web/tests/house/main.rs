//! The pages of runs, models, pipelines and data, their JSON twins, and the
//! description of `/api/v1`, over a home folder in which something has happened.

#[path = "../support/mod.rs"]
mod support;

mod data;
mod fixture;
mod models;
mod openapi;
mod pipelines;
mod runs;
