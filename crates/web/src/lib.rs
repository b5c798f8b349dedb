//! The browser application and its API: one process for people who want to know
//! what sings, for those who train, and for MLflow's clients.
//!
//! The way through the crate:
//!
//! 1. [`Config`] says what is served; [`WebState::new`] opens it. The model in use
//!    is followed as the registry moves its alias: see [`ModelSlot`].
//! 2. [`app`] is every route without a socket: pages, `/api/v1` and MLflow's API,
//!    behind one guard.
//! 3. [`Server::start`] listens; [`Server::wait`] serves until the process is asked
//!    to stop, and lets what is under way come to its end.
//!
//! The domain stays synchronous. Classifying happens on a few threads with a queue
//! of bounded length ([`Limits`]); `async` is for sockets alone.
//!
//! Nothing here knows the command line, trains a model, or runs a pipeline: what
//! needs that comes in as a hook ([`DemoTrainer`], [`ExampleClips`]).

#![forbid(unsafe_code)]

mod api;
mod assets;
mod classify;
mod client;
mod demo;
mod error;
mod guard;
mod hearing;
mod hooks;
mod limits;
mod live;
mod model_slot;
mod openapi;
mod pages;
mod pool;
mod reviewed;
mod router;
mod server;
mod state;
mod stats;
mod tls;
mod upload;
mod view;

pub use error::{ApiError, WebError};
pub use hooks::{DemoProgress, DemoTrainer, ExampleClip, ExampleClips};
pub use limits::Limits;
pub use model_slot::{Identity, ModelChoice, ModelSlot, Served};
pub use router::app;
pub use server::{EndSignals, Server};
pub use state::{Config, WebState};
pub use tls::{Tls, lan_addresses};
