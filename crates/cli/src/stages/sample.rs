//! A training for the tests of the steps around it.

use biophony_audio::Spectrogram;
use biophony_model::{Example, KeptEpochs, Normalizer, StopReason, Trained};
use biophony_nn::{Layer, Network, NetworkSpec, Shape};

/// The smallest network there is, of 4 parameters, as it began.
pub(super) fn trained() -> Trained {
    let spec = NetworkSpec {
        input: Shape {
            height: 1,
            width: 1,
            channels: 1,
        },
        layers: vec![Layer::Dense { outputs: 2 }],
    };
    let example = Example {
        name: String::new(),
        label: 0,
        features: Spectrogram::new(1, 1, vec![0.0]),
    };
    Trained {
        network: Network::new(&spec, 1).expect("can be built"),
        n_parameters: 4,
        normalizer: Normalizer::fit(&[example]).expect("one example is enough"),
        history: Vec::new(),
        kept_epochs: KeptEpochs::one(0),
        validation: None,
        stopped: StopReason::Finished,
    }
}
