//! Listening live: sound comes in as it is heard, answers go out as they are found.
//!
//! Three parts that know nothing of sockets: [`Inbox`] holds the sound that waits, and
//! never more than it may; [`Session`] turns sound into messages; `columns.rs` draws
//! the spectrogram. The socket is `crate::api::live`'s.

mod columns;
mod inbox;
mod session;

pub(crate) use inbox::Inbox;
pub(crate) use session::{Message, Session};
