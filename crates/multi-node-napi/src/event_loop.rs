//! The event loop of Node.js, when it waits for connections itself.
//!
//! It has a listening socket in its epoll instance. The library adds and removes that socket as the process's turn comes.
//! libuv handles an event by the descriptor registered with it. Here that is not the socket's own descriptor but that of a
//! pipe that never has data, and a `uv_poll_t` watches the pipe. So libuv calls that handle back for the socket, and does
//! nothing else about it.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use napi::bindgen_prelude::Function;
use napi::{Env, JsValue, sys};

/// What of libuv Node.js offers to addons, and has not changed since its version 1.
mod uv {
    use std::ffi::{c_int, c_void};

    pub(super) use napi::sys::uv_loop_s as Loop;

    /// A handle of any kind, of the size that libuv says.
    #[repr(C)]
    pub(super) struct Handle([u8; 0]);

    pub(super) const POLL: c_int = 8;
    pub(super) const READABLE: c_int = 1;

    unsafe extern "C" {
        pub(super) fn uv_backend_fd(the_loop: *const Loop) -> c_int;
        pub(super) fn uv_handle_size(kind: c_int) -> usize;
        pub(super) fn uv_handle_set_data(handle: *mut Handle, data: *mut c_void);
        pub(super) fn uv_handle_get_data(handle: *const Handle) -> *mut c_void;
        pub(super) fn uv_unref(handle: *mut Handle);
        pub(super) fn uv_poll_init(the_loop: *mut Loop, handle: *mut Handle, fd: c_int) -> c_int;
        pub(super) fn uv_poll_start(
            handle: *mut Handle,
            events: c_int,
            callback: unsafe extern "C" fn(*mut Handle, c_int, c_int),
        ) -> c_int;
    }
}

/// Where the library lets a listening socket be waited for.
pub(crate) struct EventLoop {
    pub(crate) epoll: BorrowedFd<'static>,
    pub(crate) token: u64,
}

/// What is called when a connection waits. It stays as long as the process.
struct Call {
    env: sys::napi_env,
    function: sys::napi_ref,
    context: sys::napi_async_context,
}

impl EventLoop {
    /// Lets `turn` be called with `true`, on this thread, for each event with the token that this returns. Keeps no process alive.
    pub(crate) fn new(env: &Env, turn: &Function<'_, (), ()>) -> napi::Result<EventLoop> {
        let the_loop = env.get_uv_event_loop()?;
        let (never, kept) = io::pipe()?;
        call_when_readable(env, turn, never.as_fd())?;
        let token = never.as_raw_fd();
        std::mem::forget((never, kept));
        // SAFETY: this is the thread of the loop, which is that of the environment, and lives as long.
        let epoll = unsafe { BorrowedFd::borrow_raw(uv::uv_backend_fd(the_loop)) };
        Ok(EventLoop { epoll, token: u64::from(token.unsigned_abs()) })
    }
}

/// Calls the function with `true`, on this thread, whenever the file is readable, which has to stay open as long as the process. Keeps no process alive.
pub(crate) fn call_when_readable(env: &Env, function: &Function<'_, (), ()>, file: BorrowedFd<'_>) -> napi::Result<()> {
    let the_loop = env.get_uv_event_loop()?;
    let call = Call::new(env.raw(), function.raw())?;
    // SAFETY: this is the thread of the loop, which is that of the environment. `handle` is as large and as aligned as libuv wants
    // it, and it and what it points to are never freed.
    unsafe {
        let handle = allocate(uv::uv_handle_size(uv::POLL));
        check(uv::uv_poll_init(the_loop, handle, file.as_raw_fd()))?;
        uv::uv_handle_set_data(handle, ptr::from_mut(Box::leak(Box::new(call))).cast::<c_void>());
        uv::uv_unref(handle);
        check(uv::uv_poll_start(handle, uv::READABLE, connection_waits))?;
    }
    Ok(())
}

fn allocate(bytes: usize) -> *mut uv::Handle {
    let space = vec![0_u128; bytes.div_ceil(size_of::<u128>())];
    space.leak().as_mut_ptr().cast()
}

fn check(status: c_int) -> io::Result<()> {
    if status < 0 { Err(io::Error::from_raw_os_error(-status)) } else { Ok(()) }
}

/// Called by libuv.
unsafe extern "C" fn connection_waits(handle: *mut uv::Handle, status: c_int, _events: c_int) {
    // SAFETY: `handle` is the one of `EventLoop::new`, and this is its loop's thread.
    unsafe {
        if status < 0 {
            // libuv has stopped it because of an error of the socket. The next accept reports the error.
            uv::uv_poll_start(handle, uv::READABLE, connection_waits);
        }
        if let Some(call) = NonNull::new(uv::uv_handle_get_data(handle)) {
            call.cast::<Call>().as_ref().run();
        }
    }
}

impl Call {
    fn new(env: sys::napi_env, function: sys::napi_value) -> napi::Result<Call> {
        let (mut name, mut context, mut kept) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let text = "multi-node";
        // SAFETY: this is the environment's thread, and a scope of handles is open, since JavaScript has called.
        unsafe {
            napi::check_status!(sys::napi_create_string_utf8(
                env,
                text.as_ptr().cast(),
                text.len().cast_signed(),
                &mut name
            ))?;
            napi::check_status!(sys::napi_async_init(env, ptr::null_mut(), name, &mut context))?;
            napi::check_status!(sys::napi_create_reference(env, function, 1, &mut kept))?;
        }
        Ok(Call { env, function: kept, context })
    }

    /// Calls the function. If the environment ends, this has no effect.
    ///
    /// # Safety
    /// Call this on the environment's thread, from its loop.
    unsafe fn run(&self) {
        let Call { env, function, context } = *self;
        let (mut scope, mut turn, mut receiver, mut woken) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: as the caller promises; no value outlives the scope.
        unsafe {
            if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
                return;
            }
            sys::napi_get_reference_value(env, function, &mut turn);
            sys::napi_get_global(env, &mut receiver);
            sys::napi_get_boolean(env, true, &mut woken);
            let called = sys::napi_make_callback(env, context, receiver, turn, 1, &raw const woken, ptr::null_mut());
            if called == sys::Status::napi_pending_exception {
                let mut exception = ptr::null_mut();
                sys::napi_get_and_clear_last_exception(env, &mut exception);
                sys::napi_fatal_exception(env, exception);
            }
            sys::napi_close_handle_scope(env, scope);
        }
    }
}
