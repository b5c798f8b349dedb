//! What dropout lets through.

use super::*;

const RATE: f32 = 0.25;

/// What dropout makes of ones, and of a gradient of ones.
fn ones(seed: u64) -> (Vec<f32>, Vec<f32>) {
    let input = Shape {
        height: 1,
        width: 1,
        channels: 1,
    };
    let layers = vec![
        Layer::Dense { outputs: 10_000 },
        Layer::Dropout { rate: RATE },
    ];
    let mut network = Network::new(&NetworkSpec { input, layers }, 0).expect("a valid network");
    let mut tensors = network.tensors();
    tensors[0].values.fill(1.0);
    network.load_tensors(&tensors).expect("its own tensors");
    let mut training = Training::new(&network, 1);
    let y = training.forward(&mut network, &[1.0], 1, seed).to_vec();
    training.backward(&network, &vec![1.0; y.len()]);
    (y, training.gradients()[1].values.clone())
}

#[test]
fn zeroes_the_part_asked_for_and_scales_the_rest() {
    let (y, _) = ones(1);
    let zeros = y.iter().filter(|y| **y == 0.0).count();
    assert!((2300..2700).contains(&zeros), "{zeros} of 10000");
    assert!(
        y.iter()
            .all(|y| *y == 0.0 || (y - 1.0 / (1.0 - RATE)).abs() < 1e-6)
    );
}

#[test]
fn lets_the_same_values_through_both_ways() {
    let (y, d) = ones(1);
    assert_eq!(y, d);
}

#[test]
fn depends_on_the_seed() {
    assert_eq!(ones(1), ones(1));
    assert_ne!(ones(1), ones(2));
}
