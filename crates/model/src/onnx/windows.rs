//! Cutting windows out of a spectrogram, inside the graph.
//!
//! The rule of [`FrontEnd::windows`] again, in integer arithmetic on the number
//! of frames, which is known only when the graph runs. One gather serves all
//! four rules: what differs is the list of first frames.
//!
//! The spectrogram comes from [`super::waveform`]; the windows go to
//! [`super::network`].

use biophony_audio::FeatureScale;

use super::graph::{GraphBuilder, Value, as_i64};
use super::proto::Attribute;
use crate::prepare::{Cut, FrontEnd};

/// Cuts the windows that are scored.
///
/// # Shapes
///
/// - `spectrogram`: `[batch, bands, frames]`
/// - returns `[batch * windows, 1, bands, window_frames]`, clip by clip
pub(crate) fn cut(graph: &mut GraphBuilder, spectrogram: &Value, front: &FrontEnd) -> Value {
    graph.enter("windows");
    let starts = match front.clip.cut {
        Cut::Start => graph.integers("starts", &[1, 1], &[0]),
        Cut::Center => centered_start(graph, spectrogram, front),
        Cut::AllWindows => regular_starts(graph, spectrogram, front),
        Cut::Loudest => loudest_start(graph, spectrogram, front),
    }; // [batch or 1, windows]
    gather_windows(graph, spectrogram, &starts, front)
}

/// The one window in the middle, rounded down.
fn centered_start(graph: &mut GraphBuilder, spectrogram: &Value, front: &FrontEnd) -> Value {
    let last = last_start(graph, spectrogram, front);
    let two = graph.integer(2);
    let middle = graph.op("Div", &[&last, &two]);
    as_row(graph, &middle)
}

/// Multiples of the hop while windows fit, and one flush with the end if frames
/// are left over: `[1, windows]`.
fn regular_starts(graph: &mut GraphBuilder, spectrogram: &Value, front: &FrontEnd) -> Value {
    let last = last_start(graph, spectrogram, front);
    let hop_frames = front.window_hop();
    let hop = graph.integer(hop_frames);
    let almost_hop = graph.integer(hop_frames - 1);
    let rounded_up = graph.add(&last, &almost_hop);
    let n_hops = graph.op("Div", &[&rounded_up, &hop]);
    let one = graph.integer(1);
    let n_windows = graph.add(&n_hops, &one);
    let numbers = graph.count_to(&n_windows);
    let multiples = graph.mul(&numbers, &hop);
    // Only the last multiple can lie beyond the last start: it becomes the
    // window that is flush with the end.
    let starts = graph.op("Min", &[&multiples, &last]);
    as_row(graph, &starts)
}

/// Of the regular starts, for each clip the one whose window holds the most
/// mel power, the first of equals: `[batch, 1]`.
fn loudest_start(graph: &mut GraphBuilder, spectrogram: &Value, front: &FrontEnd) -> Value {
    let starts = regular_starts(graph, spectrogram, front); // [1, windows]
    let power = mel_power(graph, spectrogram, front);
    let bands = graph.axes(&[1]);
    let keep = || Attribute::integer("keepdims", 0);
    let per_frame = graph.apply("ReduceSum", &[&power, &bands], vec![keep()]); // [batch, frames]
    let frames = window_positions(graph, &starts, front); // [1, windows, window_frames]
    let first = graph.integer(0);
    let frames = graph.apply(
        "Gather",
        &[&frames, &first],
        vec![Attribute::integer("axis", 0)],
    );
    let along_frames = vec![Attribute::integer("axis", 1)];
    let windows = graph.apply("Gather", &[&per_frame, &frames], along_frames); // [batch, windows, window_frames]
    let within = graph.axes(&[2]);
    let totals = graph.apply("ReduceSum", &[&windows, &within], vec![keep()]); // [batch, windows]
    let settings = vec![
        Attribute::integer("axis", 1),
        Attribute::integer("keepdims", 1),
    ];
    let loudest = graph.apply("ArgMax", &[&totals], settings); // [batch, 1]
    let row = graph.apply(
        "Gather",
        &[&starts, &first],
        vec![Attribute::integer("axis", 0)],
    );
    graph.op("Gather", &[&row, &loudest]) // [batch, 1]
}

/// `[batch, bands, frames]`, linear even where the features are decibels.
fn mel_power(graph: &mut GraphBuilder, spectrogram: &Value, front: &FrontEnd) -> Value {
    let FeatureScale::Db { .. } = front.features.scale() else {
        return spectrogram.clone();
    };
    let nepers = graph.float((std::f64::consts::LN_10 / 10.0) as f32);
    let logarithms = graph.mul(spectrogram, &nepers);
    graph.op("Exp", &[&logarithms])
}

/// The first frame of the last window that fits: `frames - window_frames`.
fn last_start(graph: &mut GraphBuilder, spectrogram: &Value, front: &FrontEnd) -> Value {
    let n_frames = graph.size(spectrogram, 2);
    let window_frames = graph.integer(front.window_frames());
    graph.sub(&n_frames, &window_frames)
}

/// A scalar or a list of starts as `[1, windows]`.
fn as_row(graph: &mut GraphBuilder, starts: &Value) -> Value {
    let shape = graph.integers("shape", &[2], &[1, -1]);
    graph.op("Reshape", &[starts, &shape])
}

/// The frames of each window: `[rows, windows]` to `[rows, windows, window_frames]`.
fn window_positions(graph: &mut GraphBuilder, starts: &Value, front: &FrontEnd) -> Value {
    let offsets: Vec<i64> = (0..front.window_frames()).map(as_i64).collect();
    let offsets = graph.integers("offsets", &[offsets.len()], &offsets);
    let axes = graph.axes(&[2]);
    let starts = graph.op("Unsqueeze", &[starts, &axes]);
    graph.add(&starts, &offsets)
}

/// Takes the windows out and lines them up as images of one channel.
fn gather_windows(
    graph: &mut GraphBuilder,
    spectrogram: &Value,
    starts: &Value,
    front: &FrontEnd,
) -> Value {
    let bands = as_i64(front.features.n_mels());
    let frames = window_positions(graph, starts, front); // [rows, windows, window_frames]
    let windows = if front.clip.cut == Cut::Loudest {
        // Each clip has its own window: the same frames for all of its bands.
        let shape = graph.integers("shape", &[3], &[1, bands, 1]);
        let frames = graph.op("Expand", &[&frames, &shape]); // [batch, bands, window_frames]
        let along_frames = vec![Attribute::integer("axis", 2)];
        graph.apply("GatherElements", &[spectrogram, &frames], along_frames)
    } else {
        let first = graph.integer(0);
        let frames = graph.apply(
            "Gather",
            &[&frames, &first],
            vec![Attribute::integer("axis", 0)],
        );
        let along_frames = vec![Attribute::integer("axis", 2)];
        let windows = graph.apply("Gather", &[spectrogram, &frames], along_frames); // [batch, bands, windows, window_frames]
        graph.apply(
            "Transpose",
            &[&windows],
            vec![Attribute::integers("perm", &[0, 2, 1, 3])],
        )
    };
    let window_frames = as_i64(front.window_frames());
    let shape = graph.integers("shape", &[4], &[-1, 1, bands, window_frames]);
    graph.op("Reshape", &[&windows, &shape])
}
