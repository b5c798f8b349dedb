//! Shows and records training as it goes, and stops it when the user asks to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use biophony_model::{BatchReport, EpochReport, TrainingObserver, TrainingPlan};
use biophony_pipeline::StepContext;

use crate::progress::{Bar, note};
use crate::tracking::EpochLog;

/// A progress bar over the training of one division, and the wish to stop.
pub(crate) struct Watch<'a> {
    bar: Bar,
    interrupt: Interrupt,
    context: &'a StepContext,
    log: EpochLog,
    /// What each member last told: its loss, its examples a second, its macro-F1 on the
    /// validation part.
    members: Vec<Told>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    loss: f32,
    examples_per_second: f64,
    macro_f1: Option<f64>,
}

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C from now on: the first asks for a clean stop, the
    /// second ends the program at once, after `last_words`.
    pub(crate) fn listen(last_words: impl Fn() + Send + 'static) -> Result<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&pressed);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                last_words();
                std::process::exit(130);
            }
            note("\nstopping after this step; the best weights so far are kept (Ctrl-C again to end at once)");
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self(pressed))
    }

    /// Ends what can be ended at any moment.
    ///
    /// # Errors
    ///
    /// When Ctrl-C was pressed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.pressed() {
            bail!("stopped; the same command goes on from here");
        }
        Ok(())
    }

    pub(crate) fn pressed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// True once Ctrl-C was pressed, for those who ask again and again.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn new(context: &'a StepContext, interrupt: Interrupt, log: EpochLog) -> Self {
        let division = context.step().trim_start_matches("train-");
        Self {
            bar: Bar::new(division, 0),
            interrupt,
            context,
            log,
            members: Vec::new(),
        }
    }

    /// What stands behind the bar: of several members the mean, and their speeds together.
    fn message(&self, epoch: usize) -> String {
        let told = || {
            self.members
                .iter()
                .filter(|one| one.examples_per_second > 0.0)
        };
        let mean = |of: &dyn Fn(&Told) -> f64| told().map(of).sum::<f64>() / told().count() as f64;
        let speed: f64 = told().map(|one| one.examples_per_second).sum();
        let networks = match self.members.len() {
            1 => String::new(),
            n => format!("{n} networks, "),
        };
        let loss = mean(&|one| f64::from(one.loss));
        let validation = match told().all(|one| one.macro_f1.is_some()) {
            true => format!(
                ", validation macro-F1 {:.3}",
                mean(&|one| one.macro_f1.unwrap_or_default())
            ),
            false => String::new(),
        };
        format!("{networks}epoch {epoch}: loss {loss:.3}, {speed:.0} examples/s{validation}")
    }

    pub(crate) fn finish(&self) {
        self.bar.finish();
    }

    /// Training ends when the user wants it to, and when the step's time is up.
    fn flow(&self) -> ControlFlow<()> {
        if self.interrupt.pressed() || self.context.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl TrainingObserver for Watch<'_> {
    fn started(&mut self, plan: &TrainingPlan) {
        let steps = plan.members * plan.epochs * plan.batches_per_epoch;
        let done = plan.epochs_done * plan.batches_per_epoch;
        self.bar.begin(steps, done);
        self.members = vec![Told::default(); plan.members];
        self.log.started(plan);
    }

    fn batch_finished(&mut self, report: &BatchReport) -> ControlFlow<()> {
        let told = &mut self.members[report.member - 1];
        told.loss = report.loss;
        told.examples_per_second = report.examples_per_second;
        self.bar.advance();
        self.bar.say(self.message(report.epoch));
        self.flow()
    }

    fn epoch_finished(&mut self, report: &EpochReport) -> ControlFlow<()> {
        let scores = report.record.validation;
        self.members[report.member - 1].macro_f1 = scores.map(|scores| scores.macro_f1);
        self.log.epoch_finished(report);
        self.flow()
    }
}
