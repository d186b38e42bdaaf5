//! What the program measures through the `metrics` facade, told to the master every second and at the end.

use tokio::sync::mpsc;

use super::run::Outgoing;

#[cfg(feature = "metrics")]
use {
    super::run::say, crate::control::ToMaster, crate::metrics::Registry, std::sync::Arc, std::time::Duration,
    tokio::time::MissedTickBehavior,
};

/// How often the master is told.
#[cfg(feature = "metrics")]
const EVERY: Duration = Duration::from_secs(1);

/// The most series in one message, whose length is limited.
#[cfg(feature = "metrics")]
const AT_ONCE: usize = 250;

/// Nothing, where the master does not ask for it or the program has a recorder of its own.
#[derive(Clone, Default)]
pub(super) struct Measures {
    #[cfg(feature = "metrics")]
    told: Option<(Arc<Registry>, mpsc::Sender<Outgoing>)>,
}

impl Measures {
    /// Has the program's measurements recorded and told from now on, if the master wants them.
    #[cfg(feature = "metrics")]
    pub(super) fn begin(wanted: bool, outbox: &mpsc::Sender<Outgoing>) -> Measures {
        if !wanted {
            return Measures::default();
        }
        let Some(registry) = Registry::install() else {
            crate::log::warn!(target: "multi_node", "the program has a recorder of its own, so the master is not told what it measures");
            return Measures::default();
        };
        let measures = Measures { told: Some((registry, outbox.clone())) };
        tokio::spawn(measures.clone().go_on());
        measures
    }

    #[cfg(not(feature = "metrics"))]
    pub(super) fn begin(_: bool, _: &mpsc::Sender<Outgoing>) -> Measures {
        Measures::default()
    }

    #[cfg(feature = "metrics")]
    async fn go_on(self) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.told.as_ref().is_some_and(|(_, outbox)| !outbox.is_closed()) {
            every.tick().await;
            self.tell().await;
        }
    }

    /// Tells what is new, and returns when it is written or cannot be.
    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_async, reason = "there is nothing to tell"))]
    pub(super) async fn tell(&self) {
        #[cfg(feature = "metrics")]
        if let Some((registry, outbox)) = &self.told {
            for series in registry.take().chunks(AT_ONCE) {
                say(outbox, ToMaster::Measured { series: series.to_vec() }).await;
            }
        }
    }
}
