//! `biophony train`: a folder of labelled recordings becomes a model and a
//! report.
//!
//! Dividing the collection lives in [`divide`], training and calibrating on one
//! division in [`fit`], what is written afterwards in [`outcome`].

mod divide;
mod fit;
mod outcome;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use biophony_dataset::Usable;
use biophony_model::{FrontEnd, LabelSet};

use super::{load_settings, print, report_failures};
use crate::Outcome;
use crate::arguments::{CollectionArguments, Common, FoldsArgument, TrainArguments};
use crate::collection::{Collection, examples};
use crate::home::Home;
use crate::report::NaiveComparison;
use crate::settings::Settings;

use divide::{Grouping, Plan, plan};
use fit::{Fit, Workbench};
use outcome::Finished;
use watch::{Interrupt, Watch};

/// Where a run's checkpoints are, below its folder, until it has finished.
const CHECKPOINTS: &str = "checkpoints";

pub(crate) fn run(common: &Common, arguments: &TrainArguments) -> Result<Outcome> {
    let settings = load_settings(common, own_flags(arguments))?;
    let finished = train(&Request {
        home: &Home::at(&common.home),
        settings: &settings,
        collection: &arguments.collection,
        folds: arguments.folds,
        compare_naive: arguments.compare_naive,
        resume: arguments.resume.as_deref(),
    })?;
    if arguments.json {
        print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&finished.as_json()?)?
        ))?;
    } else {
        print(&finished.summary())?;
    }
    report_failures(&finished.unreadable);
    let complete = finished.unreadable.is_empty() && !finished.interrupted;
    Ok(if complete {
        Outcome::Complete
    } else {
        Outcome::Partial
    })
}

/// The settings that the command's own flags stand for.
fn own_flags(arguments: &TrainArguments) -> Vec<String> {
    let mut flags = Vec::new();
    flags.extend(
        arguments
            .epochs
            .map(|epochs| format!("train.epochs={epochs}")),
    );
    flags.extend(
        arguments
            .architecture
            .as_ref()
            .map(|name| format!("train.architecture={name}")),
    );
    flags.extend(arguments.seed.map(seed_flags).into_iter().flatten());
    flags
}

/// The settings that one seed stands for.
pub(crate) fn seed_flags(seed: u64) -> [String; 2] {
    [format!("train.seed={seed}"), format!("split.seed={seed}")]
}

/// What is to be trained, and where it is kept.
pub(crate) struct Request<'a> {
    pub(crate) home: &'a Home,
    pub(crate) settings: &'a Settings,
    pub(crate) collection: &'a CollectionArguments,
    pub(crate) folds: Option<FoldsArgument>,
    pub(crate) compare_naive: bool,
    pub(crate) resume: Option<&'a str>,
}

/// Trains, judges and writes everything.
pub(crate) fn train(request: &Request) -> Result<Finished> {
    let interrupt = Interrupt::listen()?;
    let settings = request.settings;
    let front_end = FrontEnd {
        features: settings.feature_config()?,
        clip: settings.clip.clone(),
    };

    let collection = Collection::open(request.collection, settings)?;
    let usable = collection.usable()?;
    let labels = LabelSet::new(usable.classes.clone())?;
    let plan = plan(&usable, &settings.split, request.folds, Grouping::Kept)?;
    announce(&collection, &usable, &plan);

    let examples = examples(&usable, &labels, &front_end)?;
    let bench = Workbench {
        settings,
        labels: &labels,
        front_end: &front_end,
        examples: &examples,
    };
    let run = open_run(request)?;
    let mut watch = Watch::new(interrupt);
    let fits = fit_all(&bench, &plan, &run, &mut watch)?;
    let naive = if request.compare_naive && !watch.interrupted() {
        Some(fit_naive(&bench, &usable, request, &run, &mut watch)?)
    } else {
        None
    };
    watch.finish();
    let session = outcome::Session {
        request,
        collection: &collection,
        usable: &usable,
        bench: &bench,
        plan: &plan,
        run: &run,
        hashes: collection.hashes(&usable),
        interrupted: watch.interrupted(),
    };
    session.finish(fits, naive)
}

/// Says what was found before the long part begins.
fn announce(collection: &Collection, usable: &Usable, plan: &Plan) {
    let mut groups = usable.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    eprintln!(
        "{}: {} recordings of {} classes, {} of them independent",
        collection.name(),
        usable.recordings.len(),
        usable.classes.len(),
        groups.len()
    );
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
}

/// The folder of the run: a new one, or that of the run to go on with.
fn open_run(request: &Request) -> Result<PathBuf> {
    let home = request.home;
    let is_unfinished = |run: &Path| run.join(CHECKPOINTS).is_dir();
    let name = match request.resume {
        None => {
            let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
            // Colons are not allowed in file names everywhere.
            home.start_run(&now.replace(['-', ':', 'Z'], "").replace('T', "-"))?
        }
        Some("newest") => home
            .newest_run(is_unfinished)
            .context("there is no interrupted run to resume")?,
        Some(name) if is_unfinished(&home.run(name)) => name.to_owned(),
        Some(name) => bail!("`{}` holds no interrupted run", home.run(name).display()),
    };
    let run = home.run(&name);
    std::fs::create_dir_all(run.join(CHECKPOINTS))
        .with_context(|| format!("cannot create `{}`", run.join(CHECKPOINTS).display()))?;
    Ok(run)
}

/// Everything that was trained for the figures and for the bundle.
struct Fits {
    judged: Vec<Fit>,
    /// Where the bundle's model is not the one judged.
    deployed: Option<Fit>,
}

fn fit_all(bench: &Workbench, plan: &Plan, run: &Path, watch: &mut Watch) -> Result<Fits> {
    let mut judged = Vec::new();
    for division in &plan.judged {
        judged.push(fit_one(bench, division.clone(), run, watch)?);
        if watch.interrupted() && plan.deployed.is_some() {
            bail!(
                "stopped; go on with `biophony train --resume` and the same arguments ({} of {} folds are done)",
                judged.len() - 1,
                plan.judged.len()
            );
        }
    }
    let deployed = match &plan.deployed {
        Some(division) => Some(fit_one(bench, division.clone(), run, watch)?),
        None => None,
    };
    Ok(Fits { judged, deployed })
}

fn fit_one(
    bench: &Workbench,
    division: divide::Division,
    run: &Path,
    watch: &mut Watch,
) -> Result<Fit> {
    watch.begin(&division.name);
    let checkpoints = run.join(CHECKPOINTS).join(&division.name);
    let fit = bench.fit(division, Some(&checkpoints), watch)?;
    watch.note(&fit.line());
    Ok(fit)
}

/// The same once more on divisions that ignore which recordings belong together.
fn fit_naive(
    bench: &Workbench,
    usable: &Usable,
    request: &Request,
    run: &Path,
    watch: &mut Watch,
) -> Result<NaiveComparison> {
    let mut plan = plan(
        usable,
        &request.settings.split,
        request.folds,
        Grouping::Ignored,
    )?;
    plan.deployed = None;
    for division in &mut plan.judged {
        division.name = format!("naive-{}", division.name);
    }
    let fits = fit_all(bench, &plan, run, watch)?;
    Ok(NaiveComparison {
        evaluation: outcome::judge(bench, &fits.judged, None)?,
        n_leaked: Some(plan.count_leaks(&usable.groups)),
    })
}
