//! Whether the parts of a bundle fit together, and are of a size that can be
//! worked with.
//!
//! Each part has been checked alone by its own type; here they meet. Nothing in
//! a bundle that passes makes preparing a clip or running the network allocate
//! without bound.

use std::path::Path;

use biophony_nn::{NetworkSpec, Shape};

use super::Calibration;
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::normalize::Normalizer;
use crate::prepare::FrontEnd;

/// The most values that one layer may give for one window: 256 MiB.
const MAX_LAYER_VALUES: usize = 1 << 26;

/// The most samples that one window may have: 64 MiB, ten minutes at 28 kHz.
const MAX_WINDOW_SAMPLES: usize = 1 << 24;

/// What has to fit together.
pub(super) struct Parts<'a> {
    pub(super) labels: &'a LabelSet,
    pub(super) front_end: &'a FrontEnd,
    pub(super) normalizer: &'a Normalizer,
    pub(super) network: &'a NetworkSpec,
    pub(super) calibration: &'a Calibration,
}

/// Compares the parts with each other; `path` is the file they are noted in.
pub(super) fn parts(parts: &Parts<'_>, path: &Path) -> Result<(), ModelError> {
    let refuse = |(field, reason): (&str, String)| ModelError::BundleField {
        path: path.into(),
        field: field.into(),
        reason,
    };
    input(parts).map_err(refuse)?;
    normalizer(parts).map_err(refuse)?;
    calibration(parts.calibration).map_err(refuse)?;
    outputs(parts, path)
}

/// The field at fault and what is wrong with it.
type Fault<'a> = (&'a str, String);

fn input(parts: &Parts<'_>) -> Result<(), Fault<'static>> {
    let front_end = parts.front_end;
    if let Err(error) = front_end.check() {
        return Err(("front_end.clip", error.to_string()));
    }
    let n_samples = front_end.window_samples();
    if n_samples > MAX_WINDOW_SAMPLES {
        let reason = format!("a window has {n_samples} samples, more than {MAX_WINDOW_SAMPLES}");
        return Err(("front_end.clip", reason));
    }
    let expected = Shape {
        height: front_end.features.n_mels(),
        width: front_end.window_frames(),
        channels: 1,
    };
    let found = parts.network.input;
    if found != expected {
        let reason = format!("it is {found}, but the front end gives {expected}");
        return Err(("network.input", reason));
    }
    if found.n_values() > MAX_LAYER_VALUES {
        let reason = format!("{found} has more than {MAX_LAYER_VALUES} values");
        return Err(("network.input", reason));
    }
    Ok(())
}

fn normalizer(parts: &Parts<'_>) -> Result<(), Fault<'static>> {
    let n_bands = parts.front_end.features.n_mels();
    let Normalizer { mean, std } = parts.normalizer;
    for (field, values) in [("normalizer.mean", mean), ("normalizer.std", std)] {
        if values.len() != n_bands {
            let reason = format!("it has {} values for {n_bands} bands", values.len());
            return Err((field, reason));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err((field, format!("it holds {value}")));
        }
    }
    match std.iter().find(|&&value| value <= 0.0) {
        Some(value) => Err((
            "normalizer.std",
            format!("it holds {value}, which is not positive"),
        )),
        None => Ok(()),
    }
}

fn calibration(calibration: &Calibration) -> Result<(), Fault<'static>> {
    let temperature = calibration.temperature;
    if !(temperature.is_finite() && temperature > 0.0) {
        let reason = format!("it is {temperature}, which is not a positive number");
        return Err(("calibration.temperature", reason));
    }
    match calibration.threshold {
        Some(threshold) if !(0.0..=1.0).contains(&threshold) => Err((
            "calibration.threshold",
            format!("it is {threshold}, not between 0 and 1"),
        )),
        _ => Ok(()),
    }
}

/// Checks the layers themselves, their sizes, and the number of outputs.
fn outputs(parts: &Parts<'_>, path: &Path) -> Result<(), ModelError> {
    let refuse = |field: String, reason| ModelError::BundleField {
        path: path.into(),
        field,
        reason,
    };
    let summary = parts.network.summary()?;
    if let Some(layer) = summary
        .iter()
        .find(|layer| layer.output.n_values() > MAX_LAYER_VALUES)
    {
        let reason = format!(
            "its output {} has more than {MAX_LAYER_VALUES} values",
            layer.output
        );
        return Err(refuse(format!("network.{}", layer.name), reason));
    }
    let n_outputs = summary.last().map_or(0, |layer| layer.output.n_values());
    if n_outputs != parts.labels.len() {
        let reason = format!(
            "it has {n_outputs} outputs for {} labels",
            parts.labels.len()
        );
        return Err(refuse("network.layers".into(), reason));
    }
    Ok(())
}

/// Refuses a network that calls for more weights than the file holds, before
/// memory is set aside for them.
pub(super) fn fits_in(
    network: &NetworkSpec,
    n_bytes: usize,
    path: &Path,
) -> Result<(), ModelError> {
    let n_parameters = network
        .summary()?
        .iter()
        .fold(0_usize, |sum, layer| sum.saturating_add(layer.parameters));
    if n_parameters > n_bytes / size_of::<f32>() {
        return Err(ModelError::BundleField {
            path: path.into(),
            field: "network".into(),
            reason: format!("it has {n_parameters} parameters, the weights are {n_bytes} bytes"),
        });
    }
    Ok(())
}
