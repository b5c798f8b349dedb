//! What the demo trains on: a small collection of synthetic, animal-like calls.

mod calls;
mod collection;

pub(crate) use calls::Voice;
pub(crate) use collection::{fresh_clip, wav_bytes, write_collection};
