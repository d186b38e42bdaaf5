//! The waker by which the library's futures call JavaScript.

use std::sync::Arc;
use std::task::Waker;

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

/// Weak, so that it keeps no process alive. At most one call is under way: a further one would find the same.
type Turn = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

struct Wake(Turn);

/// Makes a waker of a JavaScript function, which is then called on its own thread.
pub(crate) fn waker(turn: &Function<'_, (), ()>) -> napi::Result<Waker> {
    let turn = turn
        .build_threadsafe_function::<()>()
        .callee_handled::<false>()
        .weak::<true>()
        .max_queue_size::<1>()
        .build()?;
    Ok(Waker::from(Arc::new(Wake(turn))))
}

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Refused where a call is under way already, or where the environment ends.
        let _ = self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}
