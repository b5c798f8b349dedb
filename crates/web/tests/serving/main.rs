//! The server as its users and strangers meet it: who may ask, what is kept of
//! feedback, models that change, live listening, and real sockets.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod feedback;
mod live;
mod models;
mod sockets;
