//! Limits, counters and gauges of all processes together, for JavaScript.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use std::time::Duration;

use multi_node::limits::{Allowed, Counter, Denied, Gauge, Limit, Quota};
use napi_derive::napi;

use crate::failure::Failure;
use crate::options::milliseconds;
use crate::service::Service;

#[napi]
impl Service {
    /// The limit of this name: `limit` events in the time `per`, which is in milliseconds.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn limit(&self, name: String, limit: f64, per: f64) -> napi::Result<LimitHandle> {
        let quota = Quota::new(limit as u64, milliseconds(per));
        let quota = quota.map_err(|error| Failure::quota(&error).into_error())?;
        Ok(LimitHandle(self.handle.limit(&name, quota)))
    }

    /// The counter of this name.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn counter(&self, name: String) -> napi::Result<CounterHandle> {
        let counter = self.handle.counter(&name);
        counter.map(CounterHandle).map_err(|error| Failure::counters(&error).into_error())
    }

    /// The gauge of this name.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn gauge(&self, name: String) -> napi::Result<GaugeHandle> {
        let gauge = self.handle.gauge(&name);
        gauge.map(GaugeHandle).map_err(|error| Failure::gauges(&error).into_error())
    }
}

#[napi]
pub struct LimitHandle(Limit);

/// What came of a check.
#[napi(object, object_from_js = false)]
pub struct Checked {
    pub allowed: bool,
    pub remaining: f64,
    /// In milliseconds.
    pub retry_after: f64,
    /// In milliseconds.
    pub reset_after: f64,
}

#[napi]
impl LimitHandle {
    #[napi]
    pub fn check(&self, key: String) -> Checked {
        self.0.check(key).into()
    }

    /// What `check` would give.
    #[napi]
    pub fn peek(&self, key: String) -> Checked {
        self.0.peek(key).into()
    }

    #[napi]
    pub fn give_back(&self, key: String) {
        self.0.give_back(key);
    }

    #[napi]
    pub fn reset(&self, key: String) {
        self.0.reset(key);
    }
}

impl From<Result<Allowed, Denied>> for Checked {
    fn from(answer: Result<Allowed, Denied>) -> Checked {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        match answer {
            Ok(Allowed { remaining, reset_after, .. }) => {
                let (remaining, reset_after) = (remaining as f64, milliseconds(reset_after));
                Checked { allowed: true, remaining, retry_after: 0.0, reset_after }
            }
            Err(Denied { retry_after, .. }) => {
                let retry_after = milliseconds(retry_after);
                Checked { allowed: false, remaining: 0.0, retry_after, reset_after: retry_after }
            }
        }
    }
}

#[napi]
pub struct CounterHandle(Counter);

#[napi]
impl CounterHandle {
    #[napi]
    pub fn add(&self, number: f64) {
        self.0.add(number as u64);
    }

    #[napi(getter)]
    pub fn value(&self) -> f64 {
        self.0.get() as f64
    }
}

#[napi]
pub struct GaugeHandle(Gauge);

#[napi]
impl GaugeHandle {
    #[napi]
    pub fn add(&self, number: f64) {
        self.0.add(number as i64);
    }

    #[napi]
    pub fn set(&self, number: f64) {
        self.0.set(number as i64);
    }

    #[napi(getter)]
    pub fn value(&self) -> f64 {
        self.0.get() as f64
    }
}
