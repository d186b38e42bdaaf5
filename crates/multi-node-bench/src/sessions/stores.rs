//! What is compared: each reads and writes a session by its number.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, ensure};
use multi_node_sessions::{Durability, SessionDatabase, Settings, unix_millis};

use crate::redis::RedisClient;

/// How long sessions are kept.
const HOUR: i64 = 3_600_000;

/// A kind of store.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Disk,
    Map,
    Redis,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Memory => "sessions in memory",
            Kind::Disk => "sessions on disk",
            Kind::Map => "a map in one process",
            Kind::Redis => "Redis, Unix socket",
        }
    }

    pub(crate) fn open(self, place: &Path) -> Result<Store> {
        let open = |durability| SessionDatabase::open(place, Settings { durability, ..Settings::default() });
        Ok(match self {
            Kind::Memory => Store::Database(open(Durability::UntilShutdown)?),
            Kind::Disk => Store::Database(open(Durability::Durable)?),
            Kind::Map => Store::Map(HashMap::new()),
            Kind::Redis => Store::Redis(RedisClient::connect(place)?),
        })
    }
}

/// One process's way to the sessions.
pub(crate) enum Store {
    Database(SessionDatabase),
    Map(HashMap<[u8; 16], Vec<u8>>),
    Redis(RedisClient),
}

impl Store {
    pub(crate) fn read(&mut self, number: u64) -> Result<()> {
        let id = id(number);
        let found = match self {
            Store::Database(database) => database.load(&id)?.is_some(),
            Store::Map(map) => map.get(&id).cloned().is_some(),
            Store::Redis(redis) => redis.get(&id)?,
        };
        ensure!(found, "session {number} is missing");
        Ok(())
    }

    pub(crate) fn write(&mut self, number: u64, bytes: usize) -> Result<()> {
        let (id, data) = (id(number), vec![7; bytes]);
        match self {
            Store::Database(database) => drop(database.put(&id, unix_millis() + HOUR, data).wait()?),
            Store::Map(map) => drop(map.insert(id, data)),
            Store::Redis(redis) => redis.set(&id, HOUR, &data)?,
        }
        Ok(())
    }
}

/// Ids that are not in order, as random ones.
fn id(number: u64) -> [u8; 16] {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}
