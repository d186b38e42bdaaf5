//! Where a program is seen and steered from outside: opened before anything is started, attended to while it runs.

use crate::admin::Observer;
#[cfg(multi_process)]
use crate::admin::{Admin, OpenSocket};
use crate::log_buffer::LogBuffer;
#[cfg(multi_process)]
use crate::metrics_sink::MetricsSink;
use crate::monitoring::{Bound, MetricsServer};
use crate::options::Settings;
use crate::{Error, Handle};

/// What the options ask for, open and not attended to.
#[derive(Debug)]
pub(crate) struct Endpoints {
    name: String,
    metrics: Option<Bound>,
    #[cfg(multi_process)]
    admin: Admin,
}

impl Endpoints {
    /// Opens what the settings ask for; nothing is left open after an error.
    pub(crate) async fn open(settings: &mut Settings) -> Result<Endpoints, Error> {
        #[cfg(multi_process)]
        let admin = Admin::open(settings).await?;
        Ok(Endpoints {
            name: name(settings),
            #[cfg(multi_process)]
            admin,
            metrics: MetricsServer::bind(settings).await?,
        })
    }

    /// Opens them again where another program has left them. A program that serves must not end for the lack of them, so
    /// what cannot be opened is logged and left out.
    #[cfg(multi_process)]
    pub(crate) async fn reopen(settings: &mut Settings) -> Endpoints {
        match Endpoints::open(settings).await {
            Ok(endpoints) => endpoints,
            Err(error) => {
                crate::log::error!(target: "multi_node", "going on without control socket and metrics: {error}");
                Endpoints { name: String::new(), metrics: None, admin: Admin::default() }
            }
        }
    }

    /// Where the log is written for those who follow it.
    pub(crate) fn log_buffer(&self) -> LogBuffer {
        #[cfg(multi_process)]
        return self.admin.log_buffer();
        #[cfg(not(multi_process))]
        LogBuffer::default()
    }

    /// Where what nodes measure is taken in.
    #[cfg(multi_process)]
    pub(crate) fn metrics_sink(&self) -> MetricsSink {
        self.metrics.as_ref().map(Bound::metrics_sink).unwrap_or_default()
    }

    /// Answers from now on.
    pub(crate) async fn attend(self, handle: Handle) -> Result<Attended, Error> {
        let observer = Observer::new(self.name, handle);
        let metrics = match self.metrics {
            Some(bound) => Some(bound.serve(observer.clone()).await?),
            None => None,
        };
        Ok(Attended {
            metrics,
            #[cfg(multi_process)]
            admin: self.admin.attend(observer),
        })
    }
}

/// What the program is called: as the options say, or else as the file of its control socket.
fn name(settings: &Settings) -> String {
    let file = || settings.control_path.as_ref()?.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    settings.control.name().map(str::to_owned).or_else(file).unwrap_or_default()
}

/// Endpoints that answer. They have to be closed before the program ends, so that nobody waits in vain.
pub(crate) struct Attended {
    metrics: Option<MetricsServer>,
    #[cfg(multi_process)]
    admin: OpenSocket,
}

impl Attended {
    pub(crate) async fn close(self) {
        #[cfg(multi_process)]
        self.admin.close().await;
        if let Some(metrics) = self.metrics {
            metrics.close().await;
        }
    }
}
