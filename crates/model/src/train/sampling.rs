//! Which examples an epoch takes, in which order, and how much each class counts.

use std::ops::Range;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The examples of one epoch: as many as there are, in random order.
///
/// `balance` moves the share of each class from what it is (0) to that of all
/// other classes (1): it becomes proportional to `count ^ (1 − balance)`. A class
/// that is due more than its examples repeats all of them before any a second
/// time, so that a rare class varies as much as it can.
pub(super) fn epoch_order(
    labels: &[usize],
    n_classes: usize,
    balance: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut order = if balance == 0.0 {
        (0..labels.len()).collect()
    } else {
        balanced(labels, n_classes, balance, rng)
    };
    order.shuffle(rng);
    order
}

fn balanced(labels: &[usize], n_classes: usize, balance: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut members = vec![Vec::new(); n_classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label].push(index);
    }
    let share = |n: usize| {
        if n == 0 {
            0.0
        } else {
            (n as f64).powf(1.0 - balance)
        }
    };
    let total: f64 = members.iter().map(|class| share(class.len())).sum();

    let mut order = Vec::with_capacity(labels.len());
    // One random offset for all classes: their rounded quotas add up exactly.
    let mut due = rng.random::<f64>();
    for class in &mut members {
        due += labels.len() as f64 * share(class.len()) / total;
        let quota = (due.floor() as usize).saturating_sub(order.len());
        take(class, quota, rng, &mut order);
    }
    order
}

/// Appends `quota` examples of one class, going through all of them in a new
/// random order each time.
fn take(class: &mut [usize], quota: usize, rng: &mut ChaCha8Rng, order: &mut Vec<usize>) {
    let mut left = quota;
    while left > 0 && !class.is_empty() {
        class.shuffle(rng);
        let n = left.min(class.len());
        order.extend_from_slice(&class[..n]);
        left -= n;
    }
}

/// How much each class counts in the loss: proportional to `count ^ −balance`,
/// with a mean of 1 over the examples. None when all count the same.
pub(super) fn class_weights(labels: &[usize], n_classes: usize, balance: f64) -> Option<Vec<f32>> {
    if balance == 0.0 {
        return None;
    }
    let mut counts = vec![0_usize; n_classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    let weight = |n: usize| {
        if n == 0 {
            0.0
        } else {
            (n as f64).powf(-balance)
        }
    };
    let total: f64 = counts.iter().map(|&n| n as f64 * weight(n)).sum();
    let scale = labels.len() as f64 / total;
    Some(counts.iter().map(|&n| (weight(n) * scale) as f32).collect())
}

/// The places in the epoch's order that each batch takes: as few batches as
/// possible, and as equal as possible, so that none is so small that its batch
/// statistics mean nothing.
pub(super) fn batches(n_examples: usize, batch_size: usize) -> Vec<Range<usize>> {
    let n = n_examples.div_ceil(batch_size);
    (0..n)
        .map(|batch| batch * n_examples / n..(batch + 1) * n_examples / n)
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn counts(order: &[usize], labels: &[usize]) -> [usize; 3] {
        let mut counts = [0; 3];
        order.iter().for_each(|&index| counts[labels[index]] += 1);
        counts
    }

    fn labels() -> Vec<usize> {
        [vec![0; 80], vec![1; 15], vec![2; 5]].concat()
    }

    fn order(balance: f64, seed: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        epoch_order(&labels(), 3, balance, &mut rng)
    }

    #[test]
    fn without_balance_every_example_comes_once() {
        let mut found = order(0.0, 1);
        assert_ne!(found, (0..100).collect::<Vec<_>>());
        found.sort_unstable();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn full_balance_draws_all_classes_alike() {
        let found = counts(&order(1.0, 1), &labels());
        assert_eq!(found.iter().sum::<usize>(), 100);
        assert!(found.iter().all(|n| (33..=34).contains(n)), "{found:?}");
    }

    #[test]
    fn half_balance_lies_between() {
        let [common, middle, rare] = counts(&order(0.5, 1), &labels());
        assert_eq!(common + middle + rare, 100);
        assert!((58..=61).contains(&common) && (14..=16).contains(&rare));
    }

    #[test]
    fn a_rare_class_repeats_evenly() {
        let found = order(1.0, 3);
        for index in 95..100 {
            let n = found.iter().filter(|&&other| other == index).count();
            assert!((6..=7).contains(&n), "{n}");
        }
    }

    #[test]
    fn a_class_without_examples_is_left_out() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(epoch_order(&[0, 2, 2], 3, 1.0, &mut rng).len(), 3);
        assert_eq!(class_weights(&[0, 2, 2], 3, 1.0).unwrap()[1], 0.0);
    }

    #[test]
    fn class_weights_have_a_mean_of_one_over_the_examples() {
        let weights = class_weights(&labels(), 3, 1.0).unwrap();
        let mean: f32 = labels().iter().map(|&label| weights[label]).sum::<f32>() / 100.0;
        assert!((mean - 1.0).abs() < 1e-5);
        assert!((weights[2] / weights[0] - 16.0).abs() < 1e-4);
    }

    #[test]
    fn batches_differ_by_at_most_one() {
        let sizes = |n, batch_size| -> Vec<usize> {
            batches(n, batch_size)
                .into_iter()
                .map(|range| range.len())
                .collect()
        };
        assert_eq!(sizes(10, 4), [3, 3, 4]);
        assert_eq!(sizes(3, 32), [3]);
        assert_eq!(sizes(65, 32), [21, 22, 22]);
        assert!(sizes(0, 4).is_empty());
    }
}
