//! What is told to those who run the product: logs on standard error, and [`Metrics`].

pub mod metrics;

pub use crate::edge::telemetry::metrics::{Metrics, PacketDirection, WebhookOutcome};

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Sends logs to standard error from now on. `level` is `--log`, or `RUST_LOG`, in the notation of
/// the latter.
pub fn start_logging(format: LogFormat, level: &str) -> anyhow::Result<()> {
    subscriber(format, level, std::io::stderr)?.try_init()?;
    Ok(())
}

fn subscriber<W>(
    format: LogFormat,
    level: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The SIP stack logs whole messages, with numbers and credentials in them, below `warn`. No
    // level that anyone asks for lets these out.
    let nothing_private = filter_fn(|about| {
        let of_the_stack = about
            .target()
            .strip_prefix("rsipstack")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        !of_the_stack || *about.level() <= Level::WARN
    });
    let filter = EnvFilter::try_new(level)?.and(nothing_private);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[test]
    fn the_sip_stack_never_logs_below_warn_whatever_is_asked_for() {
        for level in ["trace", "rsipstack=trace", "rsipstack::transaction=debug"] {
            let log = logged(LogFormat::Text, level, || {
                tracing::debug!(target: "rsipstack::transaction", "INVITE sip:mia");
                tracing::info!(target: "rsipstack", "INVITE sip:mia");
                tracing::warn!(target: "rsipstack::transport", "socket closed");
            });

            assert!(!log.contains("mia"), "{level}: {log}");
        }
        let log = logged(LogFormat::Text, "info", || {
            tracing::warn!(target: "rsipstack::transport", "socket closed");
            tracing::info!(target: "rsipstackish", "of another");
        });
        assert!(log.contains("socket closed") && log.contains("of another"));
    }

    #[test]
    fn json_lines_are_json() {
        let log = logged(LogFormat::Json, "info", || tracing::info!(calls = 3, "up"));

        let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
        assert_eq!(line["fields"]["message"], "up");
        assert_eq!(line["fields"]["calls"], 3);
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(subscriber(LogFormat::Text, "sottovoce=loud", std::io::sink).is_err());
    }

    fn logged(format: LogFormat, level: &str, act: impl FnOnce()) -> String {
        let page = Page::default();
        let copy = page.clone();
        let subscriber = subscriber(format, level, move || copy.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
