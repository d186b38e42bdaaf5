//! The settings by which `multi-node run` joins other machines.

use std::path::PathBuf;

use clap::Args;
use multi_node::Error;
use multi_node::options::Join;
use serde::{Deserialize, Serialize};

use super::MACHINES;
use super::value::Servers;

#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Machines {
    /// The NATS servers that join this machine to others: nats://127.0.0.1:4222, or tls://bus-1:4222,tls://bus-2:4222 [default: none;
    /// this machine alone]
    #[arg(long, value_name = "URL", help_heading = MACHINES)]
    join: Option<Servers>,
    /// This machine's name, which no other has [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = MACHINES)]
    machine: Option<String>,
    /// What programs have in common that are joined [default: --name, or the name of the program's file or script]
    #[arg(long, value_name = "NAME", help_heading = MACHINES)]
    cluster: Option<String>,
    /// The file with the user's JWT and NKey, as nsc writes it [default: none]
    #[arg(long, value_name = "FILE", help_heading = MACHINES)]
    join_credentials: Option<PathBuf>,
    /// The file with the seed of the user's NKey, where servers know it by its public part [default: none]
    #[arg(long, value_name = "FILE", help_heading = MACHINES)]
    join_nkey: Option<PathBuf>,
    /// The certificate by which servers know this machine, in PEM; with --join-certificate-key [default: none]
    #[arg(long, value_name = "FILE", help_heading = MACHINES)]
    join_certificate: Option<PathBuf>,
    /// The private key of that certificate, in PEM [default: none]
    #[arg(long, value_name = "FILE", help_heading = MACHINES)]
    join_certificate_key: Option<PathBuf>,
    /// The certificates by which servers are known, in PEM [default: those of the system]
    #[arg(long, value_name = "FILE", help_heading = MACHINES)]
    join_root_certificates: Option<PathBuf>,
    /// Allows nats:// to servers on other machines, where messages and passwords cross the network unencrypted [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = MACHINES)]
    insecure_bus: Option<bool>,
    /// Lets other machines have this one reload, by `multi-node reload --all-machines` [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = MACHINES)]
    remote_commands: Option<bool>,
}

impl Machines {
    /// These, and where they say nothing, those.
    pub(super) fn or(self, other: Machines) -> Machines {
        Machines {
            join: self.join.or(other.join),
            machine: self.machine.or(other.machine),
            cluster: self.cluster.or(other.cluster),
            join_credentials: self.join_credentials.or(other.join_credentials),
            join_nkey: self.join_nkey.or(other.join_nkey),
            join_certificate: self.join_certificate.or(other.join_certificate),
            join_certificate_key: self.join_certificate_key.or(other.join_certificate_key),
            join_root_certificates: self.join_root_certificates.or(other.join_root_certificates),
            insecure_bus: self.insecure_bus.or(other.insecure_bus),
            remote_commands: self.remote_commands.or(other.remote_commands),
        }
    }

    /// How other machines are joined, if any are. `name`: what the cluster is called unless it has a name of its own.
    pub(super) fn join(&self, name: Option<&str>) -> Result<Option<Join>, Error> {
        let Some(Servers(join)) = self.join.clone() else { return self.refuse_alone().map(|()| None) };
        let join = self.cluster.as_deref().or(name).into_iter().fold(join, Join::cluster);
        let join = self.machine.iter().fold(join, Join::machine);
        let join = self.join_credentials.iter().fold(join, Join::credentials);
        let join = self.join_nkey.iter().fold(join, Join::nkey);
        let join = self.certificate()?.into_iter().fold(join, |join, (file, key)| join.client_certificate(file, key));
        let join = self.join_root_certificates.iter().fold(join, Join::root_certificates);
        let join = self.insecure_bus.into_iter().fold(join, Join::insecure_bus);
        Ok(Some(self.remote_commands.into_iter().fold(join, Join::remote_commands)))
    }

    /// The files by which servers know this machine: both or neither.
    fn certificate(&self) -> Result<Option<(&PathBuf, &PathBuf)>, Error> {
        let refused = |option, path: &PathBuf, other: &str| Error::Option {
            option,
            value: path.display().to_string(),
            allowed: format!("it needs `--{other}`"),
        };
        match (&self.join_certificate, &self.join_certificate_key) {
            (Some(file), Some(key)) => Ok(Some((file, key))),
            (Some(file), None) => Err(refused("join-certificate", file, "join-certificate-key")),
            (None, Some(key)) => Err(refused("join-certificate-key", key, "join-certificate")),
            (None, None) => Ok(None),
        }
    }

    /// Without servers the other settings would do nothing.
    fn refuse_alone(&self) -> Result<(), Error> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flag = |flag: Option<bool>| flag.filter(|flag| *flag).map(|flag| flag.to_string());
        let given = [
            ("machine", self.machine.clone()),
            ("cluster", self.cluster.clone()),
            ("join-credentials", path(&self.join_credentials)),
            ("join-nkey", path(&self.join_nkey)),
            ("join-certificate", path(&self.join_certificate)),
            ("join-certificate-key", path(&self.join_certificate_key)),
            ("join-root-certificates", path(&self.join_root_certificates)),
            ("insecure-bus", flag(self.insecure_bus)),
            ("remote-commands", flag(self.remote_commands)),
        ];
        match given.into_iter().find_map(|(option, value)| Some((option, value?))) {
            Some((option, value)) => Err(Error::Option { option, value, allowed: "it needs `--join`".to_owned() }),
            None => Ok(()),
        }
    }
}
