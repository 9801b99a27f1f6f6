//! Numbers of the watch → Prometheus' text format 0.0.4, over HTTP on an address of this machine.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde::Serialize;
use wsidx::{Error, Result, verdict::Verdict};

use super::clients::{self, Client};

/// The upper bounds of the classes of the histogram, in seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];

/// Bytes of what a client says.
const LONGEST: usize = 4_096;

/// What is counted.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Numbers {
    pub(super) images: u64,
    pub(super) waiting: u64,
    pub(super) seq: u64,
    pub(super) novel: u64,
    pub(super) redundant: u64,
    pub(super) influential: u64,
    pub(super) anomaly: u64,
    pub(super) undecodable: u64,
    pub(super) moved: u64,
    pub(super) removed: u64,
    pub(super) rescans: u64,
    pub(super) overflows: u64,
    pub(super) reclusterings: u64,
    pub(super) reclustering_ms: u64,
    #[serde(skip)]
    pub(super) degraded: bool,
    #[serde(skip)]
    pub(super) committed: i64,
    #[serde(skip)]
    classes: [u64; BOUNDS.len()],
    #[serde(skip)]
    judged: u64,
    #[serde(skip)]
    seconds: f64,
}

impl Numbers {
    pub(super) fn count(&mut self, verdict: Verdict, took: Duration) {
        *match verdict {
            Verdict::Novel => &mut self.novel,
            Verdict::Redundant => &mut self.redundant,
            Verdict::Influential => &mut self.influential,
            Verdict::Anomaly => &mut self.anomaly,
            Verdict::Undecodable | Verdict::Missing => &mut self.undecodable,
        } += 1;
        let took = took.as_secs_f64();
        BOUNDS
            .iter()
            .zip(&mut self.classes)
            .filter(|(bound, _)| took <= **bound)
            .for_each(|(_, class)| *class += 1);
        self.judged += 1;
        self.seconds += took;
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut put = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
            let _ = writeln!(
                out,
                "# HELP wsidx_{name} {help}\n# TYPE wsidx_{name} {kind}"
            );
            for (labels, value) in values {
                let _ = writeln!(out, "wsidx_{name}{labels} {value}");
            }
        };
        let verdicts = [
            ("{verdict=\"novel\"}", self.novel as f64),
            ("{verdict=\"redundant\"}", self.redundant as f64),
            ("{verdict=\"influential\"}", self.influential as f64),
            ("{verdict=\"anomaly\"}", self.anomaly as f64),
            ("{verdict=\"undecodable\"}", self.undecodable as f64),
        ];
        put(
            "images_indexed",
            "gauge",
            "Images in the index.",
            &[("", self.images as f64)],
        );
        put(
            "verdicts_total",
            "counter",
            "Verdicts told since the start.",
            &verdicts,
        );
        put(
            "moved_total",
            "counter",
            "Moves told since the start.",
            &[("", self.moved as f64)],
        );
        put(
            "removed_total",
            "counter",
            "Departures told since the start.",
            &[("", self.removed as f64)],
        );
        put(
            "queue_length",
            "gauge",
            "Files that wait.",
            &[("", self.waiting as f64)],
        );
        put(
            "events_last_number",
            "gauge",
            "Number of the last event.",
            &[("", self.seq as f64)],
        );
        put(
            "rescans_total",
            "counter",
            "Looks at everything since the start.",
            &[("", self.rescans as f64)],
        );
        put(
            "watch_overflows_total",
            "counter",
            "Times that the system lost events since the start.",
            &[("", self.overflows as f64)],
        );
        put(
            "reclusterings_total",
            "counter",
            "Times that changed components were clustered since the start.",
            &[("", self.reclusterings as f64)],
        );
        put(
            "reclustering_seconds_total",
            "counter",
            "What that took.",
            &[("", self.reclustering_ms as f64 / 1e3)],
        );
        put(
            "degraded",
            "gauge",
            "1 where something hinders the watch.",
            &[("", f64::from(u8::from(self.degraded)))],
        );
        put(
            "last_commit_timestamp_seconds",
            "gauge",
            "When something was last committed.",
            &[("", self.committed as f64)],
        );
        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        put("build_info", "gauge", "The version.", &[(&version, 1.0)]);
        let _ = writeln!(
            out,
            "# HELP wsidx_ingest_seconds From a file's settling to its verdict.\n# TYPE wsidx_ingest_seconds histogram"
        );
        for (bound, class) in BOUNDS.iter().zip(self.classes) {
            let _ = writeln!(out, "wsidx_ingest_seconds_bucket{{le=\"{bound}\"}} {class}");
        }
        let (judged, seconds) = (self.judged, self.seconds);
        let _ = writeln!(
            out,
            "wsidx_ingest_seconds_bucket{{le=\"+Inf\"}} {judged}\nwsidx_ingest_seconds_sum {seconds}"
        );
        let _ = writeln!(out, "wsidx_ingest_seconds_count {judged}");
        out
    }
}

/// Serves the numbers until the process ends.
///
/// # Errors
/// [`Error::Io`] where the address is taken.
pub(super) fn serve(address: SocketAddr, numbers: Arc<Mutex<Numbers>>) -> Result<SocketAddr> {
    let io = |source| Error::Io {
        doing: "listening at",
        path: address.to_string().into(),
        source,
    };
    let listener = TcpListener::bind(address).map_err(io)?;
    let bound = listener.local_addr().map_err(io)?;
    let each = move || {
        clients::serve(listener.incoming(), move |client: &Client<TcpStream>| {
            let head = client.read(LONGEST, |bytes| {
                bytes.windows(4).any(|end| end == b"\r\n\r\n")
            })?;
            let text = numbers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .text();
            client.write(answer(&head, &text).as_bytes())
        });
    };
    thread::Builder::new()
        .name("metrics".into())
        .spawn(each)
        .map_err(io)?;
    Ok(bound)
}

fn answer(head: &[u8], text: &str) -> String {
    let wanted = head.starts_with(b"GET /metrics ") || head.starts_with(b"GET / ");
    let (status, text) = if wanted {
        ("200 OK", text)
    } else {
        ("404 Not Found", "only /metrics is here\n")
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_help_and_type_before_each_name_and_a_histogram_that_adds_up() {
        let mut numbers = Numbers::default();
        numbers.count(Verdict::Redundant, Duration::from_millis(15));
        numbers.count(Verdict::Novel, Duration::from_secs(1_000));
        let text = numbers.text();
        assert!(
            text.ends_with('\n')
                && text.contains("wsidx_verdicts_total{verdict=\"redundant\"} 1\n")
        );
        assert!(text.contains("wsidx_ingest_seconds_bucket{le=\"0.01\"} 0\nwsidx_ingest_seconds_bucket{le=\"0.02\"} 1\n"));
        assert!(
            text.contains("{le=\"300\"} 1\nwsidx_ingest_seconds_bucket{le=\"+Inf\"} 2\n")
                && text.contains("wsidx_ingest_seconds_count 2\n")
        );
        let (mut typed, mut plain) = (Vec::new(), Vec::new());
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(name) => typed.push(name.split(' ').next().unwrap_or_default().to_owned()),
                None if !line.starts_with('#') => {
                    plain.push(line.split(['{', ' ']).next().unwrap_or_default().to_owned());
                }
                None => {}
            }
        }
        let known = |name: &String| {
            typed
                .iter()
                .any(|typed| name.strip_prefix(typed.as_str()).is_some())
        };
        assert!(plain.iter().all(known), "{plain:?}");
    }
}
