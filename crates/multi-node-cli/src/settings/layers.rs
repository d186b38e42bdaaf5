//! Settings that are typed, above those of the file.

use super::Settings;

impl Settings {
    /// These settings, and where they say nothing, those.
    pub(crate) fn or(self, other: Settings) -> Settings {
        fn list<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
            if first.is_empty() { second } else { first }
        }
        // An address that is typed stands in place of those in the file.
        let typed_address = self.port.is_some() || !self.bind.is_empty();
        let typed_readiness = self.ready.is_some() || self.ready_http.is_some();
        Settings {
            name: self.name.or(other.name),
            control: self.control.or(other.control),
            metrics: self.metrics.or(other.metrics),
            nodes: self.nodes.or(other.nodes),
            library: self.library.or(other.library),
            port: self.port.or(other.port.filter(|_| !typed_address)),
            bind: if typed_address { self.bind } else { other.bind },
            sockets: self.sockets.or(other.sockets),
            fdname: self.fdname.or(other.fdname),
            defer_accept: self.defer_accept.or(other.defer_accept),
            // The later of two values of one name counts.
            env: other.env.into_iter().chain(self.env).collect(),
            ready: self.ready.or(other.ready.filter(|_| !typed_readiness)),
            ready_http: self.ready_http.or(other.ready_http.filter(|_| !typed_readiness)),
            ready_after: self.ready_after.or(other.ready_after),
            ready_fd: self.ready_fd.or(other.ready_fd),
            watchdog: self.watchdog.or(other.watchdog),
            stop_signal: self.stop_signal.or(other.stop_signal),
            backoff: self.backoff.or(other.backoff),
            backoff_max: self.backoff_max.or(other.backoff_max),
            crash_loop: self.crash_loop.or(other.crash_loop),
            crash_loop_within: self.crash_loop_within.or(other.crash_loop_within),
            canary: self.canary.or(other.canary),
            canary_requests: self.canary_requests.or(other.canary_requests),
            canary_margin: self.canary_margin.or(other.canary_margin),
            user: self.user.or(other.user),
            group: self.group.or(other.group),
            umask: self.umask.or(other.umask),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
            log_full: self.log_full.or(other.log_full),
            affinity: self.affinity.or(other.affinity),
            no_preload: self.no_preload.or(other.no_preload),
            primary: self.primary.or(other.primary),
            machines: self.machines.or(other.machines),
            program: list(self.program, other.program),
        }
    }
}
