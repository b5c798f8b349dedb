//! What can go wrong while describing a network or loading its weights.
//!
//! Running a network cannot fail: shapes are checked once, when a
//! [`crate::NetworkSpec`] becomes a [`crate::Network`].

use crate::Shape;

/// An error that names the layer, tensor or setting at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    /// The input shape has a zero extent.
    #[error("the network's input {input} has a zero extent")]
    EmptyInput {
        /// The shape as given.
        input: Shape,
    },

    /// The specification has no layers, or a residual layer has no body.
    #[error("`{layer}` has no layers")]
    NoLayers {
        /// The list that is empty: `layers`, or `layers.3.body`.
        layer: String,
    },

    /// A count or size that must be positive is zero.
    #[error("`{layer}` ({kind}): `{field}` is zero")]
    ZeroSize {
        /// The layer's name, such as `layers.3`.
        layer: String,
        /// What the layer does.
        kind: &'static str,
        /// The field that is zero.
        field: &'static str,
    },

    /// A kernel or window does not fit into the (padded) input.
    #[error("`{layer}` ({kind}): kernel {}x{} is larger than its input {input}", kernel[0], kernel[1])]
    KernelTooLarge {
        /// The layer's name.
        layer: String,
        /// What the layer does.
        kind: &'static str,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// The shape that arrives at the layer.
        input: Shape,
    },

    /// A max-pooling window has more positions than an index byte can name.
    #[error("`{layer}` (max_pool): kernel {}x{} has more than 256 positions", kernel[0], kernel[1])]
    WindowTooLarge {
        /// The layer's name.
        layer: String,
        /// Height and width of the window.
        kernel: [usize; 2],
    },

    /// The number of groups does not divide inputs and outputs.
    #[error(
        "`{layer}` (conv2d): {groups} groups do not divide {inputs} inputs and {outputs} outputs"
    )]
    GroupsDoNotDivide {
        /// The layer's name.
        layer: String,
        /// The number of groups.
        groups: usize,
        /// Channels that arrive.
        inputs: usize,
        /// Channels wanted.
        outputs: usize,
    },

    /// A dense layer met an image; a flatten or global pooling has to come first.
    #[error(
        "`{layer}` (dense): its input {input} is not flat; add `flatten` or `global_pool` before it"
    )]
    NotFlat {
        /// The layer's name.
        layer: String,
        /// The shape that arrives at the layer.
        input: Shape,
    },

    /// The two branches of a residual layer end in different shapes.
    #[error("`{layer}` (residual): the body gives {body}, the shortcut {shortcut}")]
    BranchesDiffer {
        /// The layer's name.
        layer: String,
        /// What the body ends in.
        body: Shape,
        /// What the shortcut ends in.
        shortcut: Shape,
    },

    /// A real-valued setting is outside of its range.
    #[error("`{layer}` ({kind}): `{field}` is {value}, not {wanted}")]
    OutOfRange {
        /// The layer's name.
        layer: String,
        /// What the layer does.
        kind: &'static str,
        /// The field at fault.
        field: &'static str,
        /// The value as given.
        value: f32,
        /// The values allowed, in words.
        wanted: &'static str,
    },

    /// The network would need more memory than can be addressed.
    #[error("`{layer}` ({kind}): the sizes multiply to more than can be addressed")]
    TooLarge {
        /// The layer's name.
        layer: String,
        /// What the layer does.
        kind: &'static str,
    },

    /// No networks were given to be merged.
    #[error("there are no members to merge")]
    NoMembers,

    /// A network to be merged is made of other layers than the first.
    #[error("member {member} is made of other layers than member 0")]
    MembersDiffer {
        /// Its place among the members, from 0.
        member: usize,
    },

    /// A layer cannot hold several networks side by side.
    #[error("`{layer}` ({kind}) cannot hold several members: {reason}")]
    CannotMerge {
        /// The layer's name.
        layer: String,
        /// What the layer does.
        kind: &'static str,
        /// What stands against it.
        reason: &'static str,
    },

    /// A tensor that the network needs was not given.
    #[error("tensor `{name}` is missing")]
    MissingTensor {
        /// The tensor's name.
        name: String,
    },

    /// A tensor was given that the network does not have.
    #[error("tensor `{name}` does not belong to this network")]
    UnknownTensor {
        /// The tensor's name.
        name: String,
    },

    /// A tensor was given twice.
    #[error("tensor `{name}` is given twice")]
    RepeatedTensor {
        /// The tensor's name.
        name: String,
    },

    /// A tensor has another shape, or other than the number of values that its shape says.
    #[error(
        "tensor `{name}` has shape {found:?} with {n_values} values, expected shape {expected:?}"
    )]
    TensorShape {
        /// The tensor's name.
        name: String,
        /// The shape that the network needs.
        expected: Vec<usize>,
        /// The shape as given.
        found: Vec<usize>,
        /// The number of values as given.
        n_values: usize,
    },
}

/// A result whose error is an [`NnError`].
pub type Result<T> = std::result::Result<T, NnError>;
