//! What a program finds in its arguments and environment: templates filled in, and the variables of several conventions.
//! Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Program, Readiness, Sockets};
use crate::environment::{NODE_OPTIONS, OF_THIS_START, PARENT, PRELOAD, ParentInfo};
use crate::{NodeId, Slot};

/// The number of the first listening socket (sd_listen_fds(3)).
pub(crate) const FIRST: u32 = 3;

/// A variable, and its value; `None` removes it.
pub(crate) type Variable = (OsString, Option<OsString>);

/// A listening socket, as conventions speak of it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// `127.0.0.1:8080`, or the path of a Unix socket.
    pub(crate) address: String,
    pub(crate) port: Option<u16>,
}

/// One node's place in the world.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) id: NodeId,
    pub(crate) pid: u32,
    pub(crate) generation: u64,
    pub(crate) sockets: Vec<Socket>,
    /// A port of its own, where the program asks for one.
    pub(crate) node_port: Option<u16>,
    /// The number of the channel of a Node.js program.
    pub(crate) channel: Option<u32>,
    /// What has a Node.js program load the preload, and the `NODE_OPTIONS` that it inherits.
    pub(crate) preload: Option<(OsString, OsString)>,
    /// By what a program that links this crate knows that it is a node.
    pub(crate) parent_info: Option<ParentInfo>,
    /// Where it may say how it is.
    pub(crate) notify: String,
}

impl Program {
    /// Whether a template asks for a port of the node's own.
    pub(crate) fn wants_node_port(&self) -> bool {
        let values = self.env.iter().map(|(_, value)| value);
        let mut texts = self.args.iter().chain(values);
        texts.any(|text| text.as_bytes().windows(b"{node_port}".len()).any(|part| part == b"{node_port}"))
    }

    /// A number above those of the sockets and of the notification descriptor.
    pub(crate) fn free_number(&self, sockets: usize) -> u32 {
        let sockets = FIRST + u32::try_from(sockets).unwrap_or_default();
        self.ready_fd.map_or(sockets, |number| sockets.max(number + 1))
    }

    /// The arguments with their templates filled in.
    pub(crate) fn arguments(&self, place: &Place) -> Vec<OsString> {
        self.args.iter().map(|arg| place.fill(arg)).collect()
    }

    /// The changes to the environment, in this order.
    pub(crate) fn variables(&self, place: &Place) -> Vec<Variable> {
        let mut variables: Vec<Variable> = OF_THIS_START.iter().map(|name| ((*name).into(), None)).collect();
        let mut set = |name: &str, value: String| variables.push((name.into(), Some(value.into())));
        if matches!(self.sockets, Sockets::All | Sockets::Systemd) {
            set("LISTEN_FDS", place.sockets.len().to_string());
            set("LISTEN_PID", place.pid.to_string());
            if !self.socket_names.is_empty() {
                set("LISTEN_FDNAMES", self.socket_names.join(":"));
            }
        }
        if matches!(self.sockets, Sockets::All | Sockets::ServerStarter) {
            set("SERVER_STARTER_PORT", place.server_starter());
            set("SERVER_STARTER_GENERATION", place.generation.to_string());
        }
        if self.sockets == Sockets::All || self.readiness == Readiness::Notification || self.watchdog.is_some() {
            set("NOTIFY_SOCKET", place.notify.clone());
        }
        if let Some(parent_info) = place.parent_info.filter(|_| self.sockets == Sockets::All) {
            set(PARENT, parent_info.write());
        }
        if let Some(channel) = place.channel {
            set("NODE_CHANNEL_FD", channel.to_string());
            set("NODE_UNIQUE_ID", place.id.number().to_string());
        }
        if let Some(watchdog) = self.watchdog {
            set("WATCHDOG_USEC", watchdog.as_micros().to_string());
            set("WATCHDOG_PID", place.pid.to_string());
        }
        if place.preload.is_some() {
            set(PRELOAD, place.pid.to_string());
        }
        variables.extend(self.env.iter().map(|(name, value)| (name.clone(), Some(place.fill(value)))));
        if let Some((option, inherited)) = &place.preload {
            let options = self.node_options().map_or_else(|| inherited.clone(), |own| place.fill(own));
            let separator = if options.is_empty() { "" } else { " " };
            let options: OsString = [option, OsStr::new(separator), &options].into_iter().collect();
            variables.push((NODE_OPTIONS.into(), Some(options)));
        }
        variables
    }

    /// The program's own `NODE_OPTIONS`.
    pub(crate) fn node_options(&self) -> Option<&OsStr> {
        let own = self.env.iter().rev().find(|(name, _)| name == NODE_OPTIONS);
        own.map(|(_, value)| value.as_os_str())
    }
}

impl Place {
    /// `127.0.0.1:8080=3;/run/app.sock=4` (Server::Starter).
    fn server_starter(&self) -> String {
        let pair = |(socket, number): (&Socket, u32)| format!("{}={number}", socket.address);
        self.sockets.iter().zip(FIRST..).map(pair).collect::<Vec<_>>().join(";")
    }

    /// The text with what stands in braces replaced, where it is known; anything else in braces is the program's own.
    fn fill(&self, text: &OsStr) -> OsString {
        let mut filled = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some(open) = rest.iter().position(|&byte| byte == b'{') {
            filled.extend_from_slice(&rest[..open]);
            rest = &rest[open..];
            let close = rest.iter().position(|&byte| byte == b'}');
            let value = close.and_then(|close| Some((close, self.value(&rest[1..close])?)));
            match value {
                Some((close, value)) => {
                    filled.extend_from_slice(value.as_bytes());
                    rest = &rest[close + 1..];
                }
                None => {
                    filled.push(b'{');
                    rest = &rest[1..];
                }
            }
        }
        filled.extend_from_slice(rest);
        OsString::from_vec(filled)
    }

    fn value(&self, name: &[u8]) -> Option<String> {
        match name {
            b"fd" => Some(FIRST.to_string()),
            b"port" => self.sockets.iter().find_map(|socket| socket.port).map(|port| port.to_string()),
            b"slot" => Some(self.slot.to_string()),
            b"id" => Some(self.id.to_string()),
            b"node_port" => self.node_port.map(|port| port.to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let socket = |address: &str, port| Socket { address: address.into(), port };
        Place {
            slot: Slot(2),
            id: NodeId::node(7),
            pid: 4711,
            generation: 3,
            sockets: vec![socket("127.0.0.1:8080", Some(8080)), socket("/run/app.sock", None)],
            node_port: Some(40_001),
            channel: None,
            preload: None,
            parent_info: Some(ParentInfo { master: 1, slot: Slot(2), id: NodeId::node(7), left: None }),
            notify: "@notify".to_owned(),
        }
    }

    #[test]
    fn templates_are_filled_in_and_other_braces_stay() {
        let cases = [
            ("--fd={fd}", "--fd=3"),
            ("{port}/{slot}/{id}/{node_port}", "8080/2/node-7/40001"),
            ("{}", "{}"),
            ("{unknown} {fd", "{unknown} {fd"),
            ("{{fd}}", "{3}"),
            ("{\"port\": {port}}", "{\"port\": 8080}"),
            ("", ""),
        ];
        for (text, filled) in cases {
            assert_eq!(place().fill(text.as_ref()), filled, "{text}");
        }
    }

    #[test]
    fn a_template_without_a_value_stays() {
        let nowhere = Place { sockets: Vec::new(), node_port: None, ..place() };
        assert_eq!(nowhere.fill("{port} {node_port}".as_ref()), "{port} {node_port}");
    }

    #[test]
    fn variables_follow_the_chosen_conventions() {
        let set = |sockets| {
            let program = Program::new("x").env("OWN", "{slot}").sockets(sockets).socket_names(["http", "unix"]);
            let variables = program.variables(&place());
            variables
                .into_iter()
                .filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())))
                .collect::<Vec<_>>()
        };
        let systemd = ["LISTEN_FDS=2", "LISTEN_PID=4711", "LISTEN_FDNAMES=http:unix"];
        let starter = ["SERVER_STARTER_PORT=127.0.0.1:8080=3;/run/app.sock=4", "SERVER_STARTER_GENERATION=3"];
        let (notify, parent_info, own) = (["NOTIFY_SOCKET=@notify"], ["MULTI_NODE_PARENT=1:2:node-7"], ["OWN=2"]);
        assert_eq!(set(Sockets::All), [&systemd[..], &starter, &notify, &parent_info, &own].concat());
        assert_eq!(set(Sockets::Systemd), [&systemd[..], &own].concat());
        assert_eq!(set(Sockets::ServerStarter), [&starter[..], &own].concat());
        assert_eq!(set(Sockets::Bare), own);
        let unnamed = Program::new("x").variables(&place());
        assert!(!unnamed.contains(&("LISTEN_FDNAMES".into(), Some("".into()))), "no names, no variable");
    }

    #[test]
    fn the_preload_comes_before_all_other_options_of_node() {
        let options = |program: Program, inherited: &str| {
            let place = Place { preload: Some(("--require \"p\"".into(), inherited.into())), ..place() };
            let mut variables = program.variables(&place).into_iter().rev();
            assert!(variables.clone().any(|variable| variable == (PRELOAD.into(), Some("4711".into()))));
            variables.find(|(name, _)| name == NODE_OPTIONS).and_then(|(_, value)| value).expect("options")
        };
        assert_eq!(options(Program::new("x"), ""), "--require \"p\"");
        assert_eq!(options(Program::new("x"), "-r a"), "--require \"p\" -r a");
        assert_eq!(options(Program::new("x").env(NODE_OPTIONS, "-r {id}"), "-r a"), "--require \"p\" -r node-7");
    }

    #[test]
    fn a_port_of_its_own_is_wanted_where_a_template_says_so() {
        assert!(Program::new("x").args(["--listen=127.0.0.1:{node_port}"]).wants_node_port());
        assert!(Program::new("x").env("PORT", "{node_port}").wants_node_port());
        assert!(!Program::new("x").args(["{port}", "node_port"]).wants_node_port());
    }
}
