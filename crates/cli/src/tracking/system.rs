//! What the machine does while networks are trained, sampled beside the training
//! and named as MLflow names it.
//!
//! Read from `/proc`, so on Linux alone; elsewhere nothing is recorded.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use biophony_tracking::{Metric, RunId, now};

use super::scribe::Scribe;

/// The time between samples, MLflow's own.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time before the first one.
const FIRST: Duration = Duration::from_secs(1);

/// Samples until it is dropped, and once more then.
pub(super) struct Sampler {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub(super) fn start(scribe: &Arc<Scribe>, run: &RunId) -> Self {
        let (stop, stopped) = channel::<()>();
        let (scribe, run) = (Arc::clone(scribe), run.clone());
        let thread = std::thread::spawn(move || {
            let mut meter = Meter::new();
            let mut wait = FIRST;
            loop {
                let goes_on = stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout);
                scribe.metrics(&run, &meter.sample());
                if !goes_on {
                    break;
                }
                wait = INTERVAL;
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic has printed what there is to know.
            let _ = thread.join();
        }
    }
}

/// Turns counters of the system into figures.
struct Meter {
    n_samples: i64,
    cpu: Option<[u64; 2]>,
    network: Option<[u64; 2]>,
}

impl Meter {
    fn new() -> Self {
        Self {
            n_samples: 0,
            cpu: cpu_ticks(),
            network: network_bytes(),
        }
    }

    fn sample(&mut self) -> Vec<Metric> {
        let mut found = Vec::new();
        let cpu = cpu_ticks();
        if let (Some([busy, all]), Some([busy_before, all_before])) = (cpu, self.cpu) {
            let (busy, all) = (busy.saturating_sub(busy_before), all - all_before);
            if all > 0 {
                let share = 100.0 * busy as f64 / all as f64;
                found.push(("cpu_utilization_percentage", share));
            }
        }
        self.cpu = cpu;
        if let Some([used, total]) = memory_bytes() {
            found.push(("system_memory_usage_megabytes", megabytes(used)));
            let share = 100.0 * used as f64 / total.max(1) as f64;
            found.push(("system_memory_usage_percentage", share));
        }
        if let Some(bytes) = own_memory_bytes() {
            found.push(("process_memory_usage_megabytes", megabytes(bytes)));
        }
        if let (Some([got, sent]), Some([got_before, sent_before])) =
            (network_bytes(), self.network)
        {
            let since = |now: u64, before: u64| megabytes(now.saturating_sub(before));
            found.push(("network_receive_megabytes", since(got, got_before)));
            found.push(("network_transmit_megabytes", since(sent, sent_before)));
        }
        let (now, step) = (now(), self.n_samples);
        self.n_samples += 1;
        let found = found.into_iter();
        found
            .map(|(name, value)| Metric::new(format!("system/{name}"), value, now, step))
            .collect()
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Ticks in which all processors together were busy, and all ticks.
fn cpu_ticks() -> Option<[u64; 2]> {
    cpu_ticks_in(&fs::read_to_string("/proc/stat").ok()?)
}

fn cpu_ticks_in(stat: &str) -> Option<[u64; 2]> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; guests count as users already.
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(|ticks| ticks.parse().ok())
        .collect::<Option<_>>()?;
    let all: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Some([all - idle, all])
}

/// Memory that is in use, and all there is.
fn memory_bytes() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = kibibytes(&text, "MemTotal:")?;
    let available = kibibytes(&text, "MemAvailable:")?;
    Some([total.saturating_sub(available), total])
}

fn own_memory_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The bytes of a line such as `MemTotal:  16384 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let count: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(count * 1024)
}

/// Bytes received and sent over all interfaces.
fn network_bytes() -> Option<[u64; 2]> {
    Some(network_bytes_in(&fs::read_to_string("/proc/net/dev").ok()?))
}

fn network_bytes_in(text: &str) -> [u64; 2] {
    let mut sums = [0, 0];
    for line in text.lines() {
        let Some((_, counters)) = line.split_once(':') else {
            continue;
        };
        let counters: Vec<u64> = counters
            .split_whitespace()
            .filter_map(|counter| counter.parse().ok())
            .collect();
        for (sum, index) in sums.iter_mut().zip([0, 8]) {
            *sum += counters.get(index).copied().unwrap_or(0);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        let stat = "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3\n";
        assert_eq!(cpu_ticks_in(stat), Some([150, 1000]));
        assert_eq!(cpu_ticks_in("intr 5"), None);
        assert_eq!(
            kibibytes("A: 1 kB\nMemTotal:   2 kB\n", "MemTotal:"),
            Some(2048)
        );
        let dev = "Inter-| Receive\n face |bytes\n  lo: 5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n \
                   eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n";
        assert_eq!(network_bytes_in(dev), [15, 27]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_sample_has_cpu_and_memory_under_mlflows_names() {
        let mut meter = Meter::new();
        // Two readings within one tick tell nothing of the processors.
        meter.cpu = meter
            .cpu
            .map(|[busy, all]| [busy.saturating_sub(1), all - 2]);
        let keys: Vec<String> = meter
            .sample()
            .into_iter()
            .map(|metric| metric.key)
            .collect();
        for key in [
            "system/cpu_utilization_percentage",
            "system/system_memory_usage_megabytes",
            "system/system_memory_usage_percentage",
        ] {
            assert!(keys.iter().any(|found| found == key), "{key} in {keys:?}");
        }
    }
}
