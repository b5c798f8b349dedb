//! `biophony demo`: synthesizes a collection, trains on it, classifies a call
//! that was not in it. The newcomer's first run.

use anyhow::{Context, Result};
use biophony_model::Predictor;

use super::{load_settings_over, print, train};
use crate::Outcome;
use crate::arguments::{CollectionArguments, Common, DemoArguments};
use crate::demo::{Voice, fresh_clip, write_collection};
use crate::home::Home;
use crate::launch::launch;
use crate::stages::Request;

/// What suits a small collection of short clips, unless the user says otherwise.
const DEFAULTS: [&str; 3] = [
    "clip.clip_seconds=2.0",
    "train.epochs=30",
    "train.members=1",
];

pub(crate) fn run(common: &Common, arguments: &DemoArguments) -> Result<Outcome> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let root = match &arguments.out {
        Some(folder) => folder.clone(),
        None => scratch.path().join("demo"),
    };
    eprintln!(
        "Synthesizing animal-like calls, {} voices. These sounds are synthetic: nothing here was recorded from an animal.",
        Voice::ALL.len()
    );
    write_collection(&root, arguments.seed)?;

    let defaults = DEFAULTS.map(str::to_owned).to_vec();
    let settings = load_settings_over(defaults, common, train::seed_flags(arguments.seed).into())?;
    let collection = CollectionArguments {
        folder: Some(root.clone()),
        manifest: None,
    };
    let request = Request {
        collection,
        settings,
        folds: None,
        compare_naive: false,
        synthetic: true,
        fresh: false,
    };
    let finished = launch(&Home::at(&common.home), &request, None)?;
    print(&finished.summary())?;

    let predictor = Predictor::open(&finished.model)?;
    print("\nCalls that the model has not heard:\n")?;
    for voice in Voice::ALL {
        let clip = fresh_clip(voice, arguments.seed);
        let answer = predictor.predict(&clip)?;
        let best = &answer.ranked[0];
        print(&format!(
            "  {:<11} heard as {} ({:.0} %)\n",
            voice.name(),
            best.label,
            100.0 * best.probability
        ))?;
    }
    print(&format!(
        "\nThe sounds were synthetic. With your own recordings, one folder per class:\n\n  \
         biophony train DIR\n  biophony classify FILE\n\nThe report: {}\n",
        finished.folder.join("report.html").display()
    ))?;
    Ok(Outcome::Complete)
}
