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
    /// Steps of the members before the present one.
    steps_before: usize,
    /// Which member this is, if there are several.
    member: String,
    best: String,
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
            steps_before: 0,
            member: String::new(),
            best: String::new(),
        }
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
        let steps = plan.epochs * plan.batches_per_epoch;
        self.steps_before = (plan.member - 1) * steps;
        let done = self.steps_before + plan.epochs_done * plan.batches_per_epoch;
        self.bar.begin(plan.members * steps, done);
        self.member = match plan.members {
            1 => String::new(),
            members => format!("member {} of {members}, ", plan.member),
        };
        self.best.clear();
        self.log.started(plan);
    }

    fn batch_finished(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.bar
            .set(self.steps_before + (report.epoch - 1) * report.batches + report.batch);
        self.bar.say(format!(
            "{}epoch {}: loss {:.3}, {:.0} examples/s{}",
            self.member, report.epoch, report.loss, report.examples_per_second, self.best
        ));
        self.flow()
    }

    fn epoch_finished(&mut self, report: &EpochReport) -> ControlFlow<()> {
        if let Some(validation) = &report.record.validation {
            self.best = format!(", validation macro-F1 {:.3}", validation.macro_f1);
        }
        self.log.epoch_finished(report);
        self.flow()
    }
}
