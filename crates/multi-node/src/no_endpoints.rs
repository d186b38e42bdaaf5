//! Without the feature `admin` a program is not seen or steered from outside, except by signals.

use crate::log_buffer::LogBuffer;
#[cfg(multi_process)]
use crate::metrics_sink::MetricsSink;
use crate::options::{ControlName, Settings};
use crate::{Error, Handle};

/// None.
#[derive(Debug)]
pub(crate) struct Endpoints;

impl Endpoints {
    /// Refuses settings that need an endpoint. A name that the program has without asking for one is no such setting.
    #[expect(clippy::unused_async, reason = "the feature's has to wait")]
    pub(crate) async fn open(settings: &mut Settings) -> Result<Endpoints, Error> {
        let path = settings.control_path.as_ref().map(|path| ("control_path", path.display().to_string()));
        let name = match &settings.control {
            ControlName::Exactly(name) => Some(("control", name.clone())),
            ControlName::Preferred(_) | ControlName::Off => None,
        };
        let metrics = settings.metrics.as_ref().map(|address| ("metrics", address.to_string()));
        match path.or(name).or(metrics) {
            Some((option, value)) => {
                let allowed = "it needs the feature `admin`, without which this program was built".to_owned();
                Err(Error::Option { option, value, allowed })
            }
            None => {
                settings.control = ControlName::Off;
                Ok(Endpoints)
            }
        }
    }

    #[cfg(multi_process)]
    pub(crate) async fn reopen(settings: &mut Settings) -> Endpoints {
        if let Err(error) = Endpoints::open(settings).await {
            crate::log::error!(target: "multi_node", "going on without control socket and metrics: {error}");
        }
        Endpoints
    }

    pub(crate) fn log_buffer(&self) -> LogBuffer {
        LogBuffer::default()
    }

    #[cfg(multi_process)]
    pub(crate) fn metrics_sink(&self) -> MetricsSink {
        MetricsSink::default()
    }

    #[expect(clippy::unused_async, reason = "the feature's has to wait")]
    pub(crate) async fn attend(self, _: Handle) -> Result<Attended, Error> {
        Ok(Attended)
    }
}

pub(crate) struct Attended;

impl Attended {
    #[expect(clippy::unused_async, reason = "the feature's has to wait")]
    pub(crate) async fn close(self) {}
}
