//! The steps of a plan, forward and backward over a whole batch.
//!
//! [`block`] has convolution, batch-norm, ReLU and max-pooling, which take the time;
//! the files beside it have the rest. Arithmetic on rows is in [`crate::kernels`].

pub(crate) mod block;
pub(crate) mod norm;
pub(crate) mod simple;

use crate::kernels::Kernels;
use crate::scratch::ScratchPool;

/// What every step needs.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) kernels: &'static Kernels,
    pub(crate) scratch: &'a ScratchPool,
    /// Examples in the batch.
    pub(crate) n: usize,
}

/// Whether a gradient is the first of its value or joins others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    First,
    Joins,
}

/// Parts into which a batch is cut for sums over it, whatever the number of threads.
pub(crate) const MAX_CHUNKS: usize = 16;

/// The number of examples in each part of a batch but the last.
fn chunk_len(n: usize, max_chunks: usize) -> usize {
    n.div_ceil(n.min(MAX_CHUNKS).min(max_chunks).max(1)).max(1)
}
