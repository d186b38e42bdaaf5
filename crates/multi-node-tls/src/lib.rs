//! Internal to multi-node, without semver promises: what TLS needs beside the connections. [`Certificates`] says which files hold a
//! server's certificates, [`load`](load()) reads and checks them, [`Terminator`] makes of them what handshakes go by, and [`tickets`] seals
//! the tickets by which clients resume their sessions at any process.
//!
//! Nothing here waits, opens a socket, or reads a clock: the time is an argument.

mod certificates;
mod der;
mod error;
mod handshaker;
mod handshakes;
mod identity;
mod info;
mod load;
mod records;
mod terminator;
mod ticket_file;
pub mod tickets;
mod validity;

pub use certificates::{Certificates, ClientCertificates, PairFiles, TlsVersion};
pub use error::CertificateError;
pub use handshaker::Handshaker;
pub use handshakes::{Failure, HandshakeCounts};
pub use identity::ClientIdentity;
pub use info::TlsInfo;
pub use load::{Loaded, MOST_BYTES, Material, Pair, PairInfo, Stamp, load, stamp};
pub use records::RecordBoundary;
pub use rustls;
pub use rustls::ServerConfig;
pub use terminator::{BadMaterial, Terminator};
pub use validity::{date, has_expired};
