//! Softmax cross-entropy with soft targets, label smoothing and class weights.

/// How predictions are compared with targets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LossConfig {
    /// The part of each target that is spread evenly over all classes; 0 for none.
    pub label_smoothing: f32,
    /// How much each class counts, or all the same.
    pub class_weights: Option<Vec<f32>>,
}

/// The mean cross-entropy of a batch, and its derivative with respect to the logits.
///
/// As `torch.nn.functional.cross_entropy` with probabilities as targets and
/// `reduction="mean"`: with `t' = t · (1 - s) + s / k`, the loss is
/// `-1/n · Σᵢ Σⱼ wⱼ · t'ᵢⱼ · log softmax(logitsᵢ)ⱼ`. The mean is over examples; weights do not
/// enter its denominator (in PyTorch they do when targets are class indices).
///
/// # Shapes
///
/// - `logits`, `targets`, `d_logits`: `[n, n_classes]`
///
/// # Panics
///
/// If the lengths disagree or are not a multiple of `n_classes`.
pub fn softmax_cross_entropy(
    logits: &[f32],
    targets: &[f32],
    n_classes: usize,
    config: &LossConfig,
    d_logits: &mut [f32],
) -> f32 {
    assert_eq!(logits.len(), targets.len(), "one target per logit");
    assert_eq!(logits.len(), d_logits.len(), "one derivative per logit");
    assert!(
        n_classes > 0 && logits.len().is_multiple_of(n_classes),
        "whole rows"
    );
    let weights = config.class_weights.as_deref();
    assert!(
        weights.is_none_or(|weights| weights.len() == n_classes),
        "one weight per class"
    );

    let n = (logits.len() / n_classes) as f64;
    let rows = logits
        .chunks_exact(n_classes)
        .zip(targets.chunks_exact(n_classes));
    let mut total = 0.0;
    for ((logits, targets), d_logits) in rows.zip(d_logits.chunks_exact_mut(n_classes)) {
        total += cross_entropy_row(logits, targets, config, n, d_logits);
    }
    (total / n) as f32
}

/// The loss of one example; its derivative is divided by `n`.
fn cross_entropy_row(
    logits: &[f32],
    targets: &[f32],
    config: &LossConfig,
    n: f64,
    d_logits: &mut [f32],
) -> f64 {
    let smoothing = f64::from(config.label_smoothing);
    let even = smoothing / logits.len() as f64;
    let wanted = |class: usize| {
        let weight = config
            .class_weights
            .as_ref()
            .map_or(1.0, |weights| f64::from(weights[class]));
        weight * (f64::from(targets[class]) * (1.0 - smoothing) + even)
    };
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = |class: usize| f64::from(logits[class]) - f64::from(largest);
    let sum_exp: f64 = (0..logits.len()).map(|class| shifted(class).exp()).sum();
    let total: f64 = (0..logits.len()).map(wanted).sum();

    let mut loss = 0.0;
    for (class, d) in d_logits.iter_mut().enumerate() {
        let log_probability = shifted(class) - sum_exp.ln();
        loss -= wanted(class) * log_probability;
        *d = ((log_probability.exp() * total - wanted(class)) / n) as f32;
    }
    loss
}

/// Replaces each row of `n_classes` logits by probabilities.
///
/// # Panics
///
/// If `values` is not whole rows.
pub fn softmax(values: &mut [f32], n_classes: usize) {
    assert!(
        n_classes > 0 && values.len().is_multiple_of(n_classes),
        "whole rows"
    );
    for row in values.chunks_exact_mut(n_classes) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for value in &mut *row {
            *value = (*value - largest).exp();
            sum += *value;
        }
        for value in &mut *row {
            *value /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(logits: &[f32], targets: &[f32], config: &LossConfig) -> f32 {
        softmax_cross_entropy(logits, targets, 3, config, &mut vec![0.0; logits.len()])
    }

    #[test]
    fn even_logits_cost_the_logarithm_of_the_number_of_classes() {
        let found = loss(&[5.0, 5.0, 5.0], &[0.0, 1.0, 0.0], &LossConfig::default());
        assert!((found - 3f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn huge_logits_stay_finite() {
        let mut d = [0.0; 3];
        let config = LossConfig::default();
        let found =
            softmax_cross_entropy(&[1e30, -1e30, 0.0], &[1.0, 0.0, 0.0], 3, &config, &mut d);
        assert_eq!(found, 0.0);
        assert!(d.iter().all(|d| d.is_finite()));
    }

    #[test]
    fn the_derivative_is_that_of_finite_differences() {
        let logits = [0.3, -1.2, 2.0, 0.1, 0.2, 0.3];
        let targets = [0.2, 0.5, 0.3, 0.0, 1.0, 0.0];
        let weights = Some(vec![0.5, 2.0, 1.5]);
        let config = LossConfig {
            label_smoothing: 0.1,
            class_weights: weights,
        };
        let mut d = [0.0; 6];
        softmax_cross_entropy(&logits, &targets, 3, &config, &mut d);
        for (index, &d) in d.iter().enumerate() {
            let step = 1e-2;
            let moved = |by: f32| {
                let mut logits = logits;
                logits[index] += by;
                loss(&logits, &targets, &config)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((slope - d).abs() < 1e-4, "{index}: {slope} and {d}");
        }
    }

    #[test]
    fn softmax_rows_sum_to_one() {
        let mut values = [1.0, 2.0, 3.0, -100.0, 0.0, 100.0];
        softmax(&mut values, 3);
        for row in values.chunks_exact(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
