//! A small CNN engine for CPUs: a fixed set of layers with hand-written gradients.
//!
//! A [`NetworkSpec`] says what a network is made of, a [`Network`] holds its
//! weights. A [`Training`] workspace runs it forward and backward, an
//! [`Optimizer`] changes its weights, an [`Inference`] workspace only runs it.
//! Semantics are PyTorch's throughout; batches are NHWC, channels fastest.
//!
//! Results are the same bit for bit at any number of threads: every sum over a
//! batch is made of fixed pieces that are added in a fixed order.
//!
//! Sound, features, labels and the training loop live in `biophony-model`.
//! There is no general automatic differentiation, no graph compiler, no GPU.

mod buffer;
mod conv;
mod error;
mod gradients;
mod graph;
mod inference;
mod kernels;
mod layers;
mod loss;
mod merge;
mod network;
mod optimizer;
mod parameters;
mod plan;
mod pool;
mod random;
mod schedule;
mod scratch;
mod sharing;
mod spec;
mod summary;
mod training;
mod view;

pub use error::{NnError, Result};
pub use inference::Inference;
pub use loss::{LossConfig, softmax, softmax_cross_entropy};
pub use merge::merge;
pub use network::{NamedTensor, Network};
pub use optimizer::{Optimizer, OptimizerConfig, OptimizerState};
pub use schedule::Schedule;
pub use spec::{GlobalPoolKind, Layer, NetworkSpec, Padding, Shape};
pub use summary::LayerSummary;
pub use training::Training;

/// The instruction set that new workspaces compute with: `avx512`, `avx2`, `neon` or
/// `portable`. The environment variable `BIOPHONY_SIMD` can force one of these.
pub fn instruction_set() -> &'static str {
    kernels::Kernels::best().name()
}
