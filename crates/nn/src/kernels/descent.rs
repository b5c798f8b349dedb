//! What one step of gradient descent does to each weight, in safe Rust that compilers
//! turn into vectors.
//!
//! The functions are compiled once for each instruction set, in [`super`]. None of them
//! fuses a product with a sum, so that all give the same weights.

/// One step of Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamRule {
    /// Multiplies gradients first.
    pub(crate) gradient_scale: f32,
    /// How much of a weight is added to its gradient.
    pub(crate) decay: f32,
    /// How much of a weight is taken from it beforehand.
    pub(crate) shrink: f32,
    pub(crate) betas: [f32; 2],
    /// The learning rate over the first moment's bias correction.
    pub(crate) step_size: f32,
    /// Root of the second moment's bias correction.
    pub(crate) second_scale: f32,
    pub(crate) epsilon: f32,
}

/// One step of gradient descent with momentum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SgdRule {
    /// Multiplies gradients first.
    pub(crate) gradient_scale: f32,
    /// How much of a weight is added to its gradient.
    pub(crate) decay: f32,
    pub(crate) momentum: f32,
    pub(crate) nesterov: bool,
    pub(crate) learning_rate: f32,
}

#[inline(always)]
pub(super) fn adam(
    rule: &AdamRule,
    gradients: &[f32],
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let AdamRule {
        gradient_scale,
        decay,
        shrink,
        betas: [beta1, beta2],
        step_size,
        second_scale,
        epsilon,
    } = *rule;
    let moments = first.iter_mut().zip(second);
    for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments) {
        *weight -= shrink * *weight;
        let gradient = gradient * gradient_scale + decay * *weight;
        *first += (1.0 - beta1) * (gradient - *first);
        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
        *weight -= step_size * *first / (second.sqrt() / second_scale + epsilon);
    }
}

#[inline(always)]
pub(super) fn sgd(rule: &SgdRule, gradients: &[f32], weights: &mut [f32], velocity: &mut [f32]) {
    // Of the new velocity and of the gradient that is followed.
    let [share_of_velocity, share_of_gradient] = match rule.nesterov {
        true => [rule.momentum, 1.0],
        false => [1.0, 0.0],
    };
    for ((weight, gradient), velocity) in weights.iter_mut().zip(gradients).zip(velocity) {
        let gradient = gradient * rule.gradient_scale + rule.decay * *weight;
        // The velocity starts at zero, so that the first step follows the gradient as PyTorch's does.
        *velocity = rule.momentum * *velocity + gradient;
        let direction = share_of_gradient * gradient + share_of_velocity * *velocity;
        *weight -= rule.learning_rate * direction;
    }
}

/// `average = average + share · (x - average)`
#[inline(always)]
pub(super) fn approach(x: &[f32], share: f32, average: &mut [f32]) {
    for (x, average) in x.iter().zip(average) {
        *average += share * (x - *average);
    }
}

/// How many sums [`add_squares`] keeps side by side.
pub(crate) const SQUARE_SUMS: usize = 32;

/// Adds squares to sums in double precision, value `i` to sum `i` modulo their number.
#[inline(always)]
pub(super) fn add_squares(x: &[f32], sums: &mut [f64; SQUARE_SUMS]) {
    let (whole, rest) = x.as_chunks::<SQUARE_SUMS>();
    for values in whole {
        for (value, sum) in values.iter().zip(&mut *sums) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    for (value, sum) in rest.iter().zip(sums) {
        *sum += f64::from(*value) * f64::from(*value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kernels;
    use super::*;
    use crate::random::Random;

    fn noise(n: usize, stream: u64) -> Vec<f32> {
        let mut random = Random::new(7, stream);
        (0..n).map(|_| random.uniform() as f32 - 0.5).collect()
    }

    proptest! {
        /// One value at a time, on every instruction set, to the last bit.
        #[test]
        fn steps_are_the_same_on_all_instruction_sets(n in 0_usize..300, nesterov: bool) {
            let adam_rule = AdamRule {
                gradient_scale: 0.7,
                decay: 0.01,
                shrink: 0.02,
                betas: [0.9, 0.99],
                step_size: 0.1,
                second_scale: 0.8,
                epsilon: 1e-8,
            };
            let sgd_rule = SgdRule {
                gradient_scale: 0.7,
                decay: 0.01,
                momentum: 0.9,
                nesterov,
                learning_rate: 0.1,
            };
            let (gradients, start, moment) = (noise(n, 0), noise(n, 1), noise(n, 2));
            let positive: Vec<f32> = noise(n, 3).into_iter().map(f32::abs).collect();
            for kernels in Kernels::supported() {
                let [mut w, mut m, mut v] = [start.clone(), moment.clone(), positive.clone()];
                kernels.adam(&adam_rule, &gradients, &mut w, &mut m, &mut v);
                let [mut velocity, mut average] = [moment.clone(), start.clone()];
                let mut followed = start.clone();
                kernels.sgd(&sgd_rule, &gradients, &mut followed, &mut velocity);
                kernels.approach(&gradients, 0.3, &mut average);
                for i in 0..n {
                    let g = [gradients[i]];
                    let (mut w1, mut m1, mut v1) = ([start[i]], [moment[i]], [positive[i]]);
                    adam(&adam_rule, &g, &mut w1, &mut m1, &mut v1);
                    prop_assert_eq!((w[i], m[i], v[i]), (w1[0], m1[0], v1[0]));
                    let (mut w1, mut v1) = ([start[i]], [moment[i]]);
                    sgd(&sgd_rule, &g, &mut w1, &mut v1);
                    prop_assert_eq!((followed[i], velocity[i]), (w1[0], v1[0]));
                    prop_assert_eq!(average[i], start[i] + 0.3 * (gradients[i] - start[i]));
                }
            }
        }

        #[test]
        fn squares_add_up(n in 0_usize..300) {
            let x = noise(n, 4);
            let expected: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
            for kernels in Kernels::supported() {
                let mut sums = [0.0; SQUARE_SUMS];
                kernels.add_squares(&x, &mut sums);
                prop_assert!((sums.iter().sum::<f64>() - expected).abs() < 1e-12 * (1.0 + expected));
            }
        }
    }
}
