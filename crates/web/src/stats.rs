//! What is counted while serving, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use biophony_audio::Seconds;

/// The upper ends of the histogram of answers, in milliseconds.
const BUCKETS_MS: [u64; 10] = [2, 5, 10, 20, 50, 100, 250, 500, 1_000, 5_000];

/// What is counted while serving.
#[derive(Default)]
pub(crate) struct Stats {
    /// By route, method and status.
    requests: Mutex<BTreeMap<(String, String, u16), u64>>,
    /// Answers of `classify` by how long they took; the last for longer ones.
    classified: [AtomicU64; BUCKETS_MS.len() + 1],
    classified_us: AtomicU64,
    live: Arc<AtomicUsize>,
    dropped_ms: AtomicU64,
}

/// A live session that is going on.
pub(crate) struct LivePlace(Arc<AtomicUsize>);

impl Drop for LivePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stats {
    pub(crate) fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let key = (route.to_owned(), method.to_owned(), status);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(key).or_default() += 1;
        drop(requests);
        if route == "/api/v1/classify" && status == 200 {
            let ms = took.as_millis() as u64;
            let bucket = BUCKETS_MS.iter().position(|&end| ms < end);
            self.classified[bucket.unwrap_or(BUCKETS_MS.len())].fetch_add(1, Ordering::Relaxed);
            let us = took.as_micros() as u64;
            self.classified_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    /// A place among `most` live sessions, if one is free.
    pub(crate) fn live_place(&self, most: usize) -> Option<LivePlace> {
        let taken = self.live.fetch_add(1, Ordering::Relaxed);
        // Gives the place back when it was one too many.
        let place = LivePlace(Arc::clone(&self.live));
        (taken < most).then_some(place)
    }

    /// Live sound was dropped.
    pub(crate) fn dropped(&self, seconds: Seconds) {
        let ms = (seconds.0 * 1e3) as u64;
        self.dropped_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// All of it in Prometheus' text format.
    pub(crate) fn write(&self, text: &mut String) {
        let mut line = |line: std::fmt::Arguments| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!(
            "# HELP biophony_requests_total Requests by what became of them."
        ));
        line(format_args!("# TYPE biophony_requests_total counter"));
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, method, status), count) in &*requests {
            line(format_args!(
                "biophony_requests_total{{route=\"{route}\",method=\"{method}\",\
                 status=\"{status}\"}} {count}"
            ));
        }
        drop(requests);
        let name = "biophony_classify_seconds";
        line(format_args!(
            "# HELP {name} How long answers about files took."
        ));
        line(format_args!("# TYPE {name} histogram"));
        let mut sum = 0;
        for (index, count) in self.classified.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            match BUCKETS_MS.get(index) {
                Some(&end) => {
                    let end = end as f64 / 1e3;
                    line(format_args!("{name}_bucket{{le=\"{end}\"}} {sum}"));
                }
                None => line(format_args!("{name}_bucket{{le=\"+Inf\"}} {sum}")),
            }
        }
        let seconds = self.classified_us.load(Ordering::Relaxed) as f64 / 1e6;
        line(format_args!("{name}_sum {seconds}\n{name}_count {sum}"));
        let name = "biophony_live_sessions";
        line(format_args!(
            "# HELP {name} Microphones that are listened to."
        ));
        let live = self.live.load(Ordering::Relaxed);
        line(format_args!("# TYPE {name} gauge\n{name} {live}"));
        let name = "biophony_live_dropped_seconds_total";
        line(format_args!(
            "# HELP {name} Live sound that came faster than it could be heard."
        ));
        let dropped = self.dropped_ms.load(Ordering::Relaxed) as f64 / 1e3;
        line(format_args!("# TYPE {name} counter\n{name} {dropped}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_answers_timed() {
        let stats = Stats::default();
        let classify = "/api/v1/classify";
        stats.answered(classify, "POST", 200, Duration::from_millis(3));
        stats.answered(classify, "POST", 200, Duration::from_millis(40));
        stats.answered(classify, "POST", 422, Duration::from_millis(1));
        stats.dropped(Seconds(1.5));
        let mut text = String::new();
        stats.write(&mut text);
        for line in [
            "biophony_requests_total{route=\"/api/v1/classify\",method=\"POST\",status=\"200\"} 2",
            "biophony_requests_total{route=\"/api/v1/classify\",method=\"POST\",status=\"422\"} 1",
            "biophony_classify_seconds_bucket{le=\"0.002\"} 0",
            "biophony_classify_seconds_bucket{le=\"0.005\"} 1",
            "biophony_classify_seconds_bucket{le=\"+Inf\"} 2",
            "biophony_classify_seconds_sum 0.043",
            "biophony_classify_seconds_count 2",
            "biophony_live_dropped_seconds_total 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn places_are_given_back() {
        let stats = Stats::default();
        let first = stats.live_place(1).expect("is free");
        assert!(stats.live_place(1).is_none());
        drop(first);
        assert!(stats.live_place(1).is_some());
    }
}
