//! Shows training as it goes, and stops it when the user asks to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use biophony_model::{BatchReport, EpochReport, TrainingObserver, TrainingPlan};

use crate::progress::Bar;

/// A progress bar over a run's divisions, and the wish to stop.
pub(crate) struct Watch {
    bar: Bar,
    interrupt: Interrupt,
    best: String,
}

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C from now on: the first asks for a clean stop, the
    /// second ends the program at once.
    pub(crate) fn listen() -> Result<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&pressed);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping after this step; the best weights so far are kept (Ctrl-C again to end at once)");
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self(pressed))
    }

    pub(crate) fn pressed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Watch {
    pub(crate) fn new(interrupt: Interrupt) -> Self {
        Self {
            bar: Bar::new("train", 0),
            interrupt,
            best: String::new(),
        }
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.interrupt.pressed()
    }

    /// Begins another division.
    pub(crate) fn begin(&mut self, name: &str) {
        self.bar.rename(name);
        self.best.clear();
    }

    /// Prints a line that stays.
    pub(crate) fn note(&self, line: &str) {
        self.bar.note(line);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish();
    }
}

impl TrainingObserver for Watch {
    fn started(&mut self, plan: &TrainingPlan) {
        let steps = plan.epochs * plan.batches_per_epoch;
        self.bar
            .begin(steps, plan.epochs_done * plan.batches_per_epoch);
    }

    fn batch_finished(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.bar
            .set((report.epoch - 1) * report.batches + report.batch);
        self.bar.say(format!(
            "epoch {}: loss {:.3}, {:.0} examples/s{}",
            report.epoch, report.loss, report.examples_per_second, self.best
        ));
        self.interrupt.flow()
    }

    fn epoch_finished(&mut self, report: &EpochReport) -> ControlFlow<()> {
        if let Some(validation) = &report.record.validation {
            self.best = format!(", validation macro-F1 {:.3}", validation.macro_f1);
        }
        self.interrupt.flow()
    }
}
