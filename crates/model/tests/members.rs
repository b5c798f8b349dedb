//! Several networks that act as one: does it say what they say, and does training
//! make the same one again?

mod sounds;

use std::ops::ControlFlow;
use std::path::Path;

use biophony_model::metrics::best_class;
use biophony_model::{
    ARCHITECTURES, EpochReport, ModelError, Monitor, StopReason, Trained, TrainingConfig,
    TrainingObserver, TrainingPlan, architecture, score, train,
};
use biophony_nn::{Inference, Network, Shape, merge};
use sounds::{examples, front, labels, varied};

/// A network whose every parameter, running statistics too, follows from the seed.
fn random_network(name: &str, seed: u64) -> Network {
    let input = Shape {
        height: 32,
        width: 48,
        channels: 1,
    };
    let spec = architecture(name, input, 5).unwrap();
    let mut network = Network::new(&spec, seed).unwrap();
    let mut tensors = network.tensors();
    for (place, tensor) in tensors.iter_mut().enumerate() {
        // Weights stay as they were drawn, so that no layer drowns another.
        let middle = match tensor.name.rsplit('.').next() {
            Some("running_var") => 1.0,
            Some("running_mean" | "bias") => 0.0,
            _ => continue,
        };
        let values = noise(tensor.values.len(), seed * 1000 + place as u64);
        tensor.values = values.iter().map(|value| middle + value).collect();
    }
    network.load_tensors(&tensors).unwrap();
    network
}

/// Numbers between -0.5 and 0.5.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn every_network_merges_into_the_mean_of_its_members() {
    for name in ARCHITECTURES {
        for n in [2, 3] {
            let members: Vec<Network> = (1..=n).map(|seed| random_network(name, seed)).collect();
            let batch = noise(2 * members[0].spec().input.n_values(), 77);
            let logits = |network: &Network| {
                let mut workspace = Inference::new(network, 2);
                network.forward(&mut workspace, &batch, 2).to_vec()
            };
            let single: Vec<Vec<f32>> = members.iter().map(logits).collect();
            for (index, logit) in logits(&merge(&members).unwrap()).into_iter().enumerate() {
                let terms = single.iter().map(|member| f64::from(member[index]));
                let size = terms.clone().map(f64::abs).sum::<f64>() / n as f64;
                let error = (f64::from(logit) - terms.sum::<f64>() / n as f64).abs();
                assert!(error <= 1e-5 * size, "{n} of `{name}`: {error} of {size}");
            }
        }
    }
}

/// Writes down what is told, and asks to stop after so many epochs or steps of all
/// members.
#[derive(Default)]
struct Witness {
    plans: Vec<TrainingPlan>,
    /// Of each epoch that ended, member and epoch.
    told: Vec<(usize, usize)>,
    epochs: usize,
    batches: usize,
    stop_after_epochs: Option<usize>,
    stop_after_batches: Option<usize>,
}

fn break_at(n: usize, limit: Option<usize>) -> ControlFlow<()> {
    match limit {
        Some(limit) if n >= limit => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

impl TrainingObserver for Witness {
    fn started(&mut self, plan: &TrainingPlan) {
        self.plans.push(plan.clone());
    }

    fn batch_finished(&mut self, _report: &biophony_model::BatchReport) -> ControlFlow<()> {
        self.batches += 1;
        break_at(self.batches, self.stop_after_batches)
    }

    fn epoch_finished(&mut self, report: &EpochReport) -> ControlFlow<()> {
        self.told.push((report.member, report.record.epoch));
        self.epochs += 1;
        break_at(self.epochs, self.stop_after_epochs)
    }
}

fn settings(members: usize, epochs: usize) -> TrainingConfig {
    TrainingConfig {
        members,
        monitor: Monitor::Last,
        ..varied(epochs)
    }
}

/// Eight clips in two batches an epoch, and four to validate.
fn run(
    config: &TrainingConfig,
    checkpoints: Option<&Path>,
    witness: &mut Witness,
) -> Result<Trained, ModelError> {
    let (part, validation) = (examples(8, 0), examples(4, 10));
    train(
        config,
        &labels(),
        &part,
        &validation,
        &front(),
        checkpoints,
        witness,
    )
}

#[track_caller]
fn check_same(one: &Trained, other: &Trained) {
    assert_eq!(one.network.spec(), other.network.spec());
    assert_eq!(one.network.tensors(), other.network.tensors());
    assert_eq!(one.history, other.history);
    assert_eq!(one.kept_epochs, other.kept_epochs);
    assert_eq!(one.validation, other.validation);
    assert_eq!(one.stopped, other.stopped);
}

#[test]
fn members_have_seeds_of_their_own_and_the_first_is_the_one_trained_alone() {
    let mut witness = Witness::default();
    let folder = tempfile::tempdir().unwrap();
    let together = run(&settings(2, 2), Some(folder.path()), &mut witness).unwrap();
    let plans: Vec<_> = witness
        .plans
        .iter()
        .map(|plan| (plan.members, plan.epochs, plan.epochs_done))
        .collect();
    assert_eq!(plans, [(2, 2, 0)]);
    assert_eq!(witness.told, [(1, 1), (2, 1), (1, 2), (2, 2)]);
    assert_eq!(together.kept_epochs.as_slice(), [2, 2]);
    assert_eq!(together.history.len(), 2);
    assert_eq!(together.stopped, StopReason::Finished);

    // The checkpoint of the first is that of a run of its own, which goes on from it.
    let mut counter = Witness::default();
    let first = folder.path().join("member-1");
    let resumed = run(&settings(1, 2), Some(&first), &mut counter).unwrap();
    assert_eq!(counter.batches, 0);
    let alone = run(&settings(1, 2), None, &mut Witness::default()).unwrap();
    check_same(&resumed, &alone);

    let outputs = alone.network.tensors()[0].values.len();
    let merged = together.network.tensors();
    assert_eq!(
        merged[0].values[..outputs],
        alone.network.tensors()[0].values
    );
    assert_ne!(merged[0].values[..outputs], merged[0].values[outputs..]);
    assert_ne!(together.history, alone.history);
}

/// Accuracy and mean cross-entropy of what was kept, on the clips that validate in [`run`].
fn reached(trained: &Trained) -> (f64, f64) {
    let validation = examples(4, 10);
    let scores = score(&trained.network, &trained.normalizer, &front(), &validation).unwrap();
    let rows = || scores.iter().zip(&validation);
    let right = rows().filter(|(row, example)| best_class(row) == example.label);
    let losses = rows().map(|(row, example)| -f64::from(row[example.label]).ln());
    let n = validation.len() as f64;
    (right.count() as f64 / n, losses.sum::<f64>() / n)
}

#[test]
fn what_members_reach_on_the_validation_part_is_what_they_reach_as_one() {
    let stalling = TrainingConfig {
        patience: 1,
        learning_rate: 0.03,
        monitor: Monitor::Loss,
        ..settings(3, 8)
    };
    let alone = run(&settings(1, 1), None, &mut Witness::default()).unwrap();
    assert_eq!(alone.n_parameters, alone.network.n_parameters());
    for config in [settings(3, 2), stalling] {
        let trained = run(&config, None, &mut Witness::default()).unwrap();
        assert_eq!(trained.n_members(), 3);
        assert_eq!(trained.n_parameters, alone.n_parameters);
        let told = trained.validation.unwrap();
        let (accuracy, loss) = reached(&trained);
        assert_eq!(told.accuracy, accuracy);
        assert!((told.loss - loss).abs() < 1e-5, "{} {loss}", told.loss);
        // Means of members alone are no figures of the ensemble.
        let last = trained.history.last().unwrap().validation.unwrap();
        assert!((told.loss - last.loss).abs() > 1e-4);
    }
}

#[test]
fn members_resume_to_the_same_network_wherever_they_were_stopped() {
    let whole = run(&settings(3, 2), None, &mut Witness::default()).unwrap();
    let stops = [
        (Some(1), None),
        (Some(2), None),
        (Some(3), None),
        (None, Some(11)),
    ];
    for (stop_after_epochs, stop_after_batches) in stops {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness {
            stop_after_epochs,
            stop_after_batches,
            ..Witness::default()
        };
        let stopped = run(&settings(3, 2), Some(folder.path()), &mut witness).unwrap();
        assert_eq!(stopped.stopped, StopReason::Interrupted);
        let mut counter = Witness::default();
        let resumed = run(&settings(3, 2), Some(folder.path()), &mut counter).unwrap();
        assert_eq!(counter.epochs, 6 - witness.epochs);
        check_same(&resumed, &whole);
    }
}

#[test]
fn members_are_the_same_with_any_number_of_threads() {
    let trained = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        let pool = pool.build().unwrap();
        pool.install(|| run(&settings(3, 2), None, &mut Witness::default()).unwrap())
    };
    let one = trained(1);
    for n_threads in [2, 3, 5] {
        check_same(&trained(n_threads), &one);
    }
}

/// Where a first member has been trained to its end, and the others have not begun.
fn first_of_them_done(epochs: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("member-1");
    let done = run(&settings(1, epochs), Some(&first), &mut Witness::default());
    assert_eq!(done.unwrap().stopped, StopReason::Finished);
    folder
}

#[test]
fn a_member_stopped_before_its_first_epoch_ends_is_left_out() {
    let alone = run(&settings(1, 2), None, &mut Witness::default()).unwrap();
    let folder = first_of_them_done(2);
    let mut witness = Witness {
        stop_after_batches: Some(1),
        ..Witness::default()
    };
    let stopped = run(&settings(2, 2), Some(folder.path()), &mut witness).unwrap();
    assert_eq!(witness.plans[0].epochs_done, 2);
    assert_eq!(stopped.stopped, StopReason::Interrupted);
    assert_eq!(stopped.network.tensors(), alone.network.tensors());
    assert_eq!(stopped.history, alone.history);
}

#[test]
fn members_that_were_all_stopped_at_once_give_the_first_as_it_began() {
    let mut witness = Witness {
        stop_after_batches: Some(1),
        ..Witness::default()
    };
    let stopped = run(&settings(3, 2), None, &mut witness).unwrap();
    assert_eq!(stopped.stopped, StopReason::Interrupted);
    assert_eq!(stopped.kept_epochs.as_slice(), [0]);
    assert!(stopped.history.is_empty());
    assert_eq!(stopped.validation, None);
}

#[test]
fn a_member_stopped_later_counts_with_what_it_has() {
    let alone = run(&settings(1, 3), None, &mut Witness::default()).unwrap();
    let folder = first_of_them_done(3);
    let mut witness = Witness {
        stop_after_epochs: Some(1),
        ..Witness::default()
    };
    let stopped = run(&settings(2, 3), Some(folder.path()), &mut witness).unwrap();
    assert_eq!(stopped.history.len(), 3);
    // In the later epochs the second stays where it was.
    let losses: Vec<f32> = stopped.history.iter().map(|one| one.train_loss).collect();
    let first = |epoch: usize| alone.history[epoch].train_loss;
    let second = 2.0 * losses[0] - first(0);
    assert_ne!(second, first(0));
    for epoch in [1, 2] {
        assert!((losses[epoch] - (first(epoch) + second) / 2.0).abs() < 1e-5);
    }
    assert_eq!(stopped.kept_epochs.as_slice(), [3, 1]);
    let twice = 2 * alone.network.tensors()[0].shape[0];
    assert_eq!(stopped.network.tensors()[0].shape[0], twice);
}
