//! Where futures run: in place, or on one small runtime.
//!
//! Neither way enters a runtime on the caller's thread, so calls are safe from rayon's workers, from plain threads and
//! from inside somebody's async code.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Runtime};

/// The runtime of all requests; it starts with the first.
///
/// Its threads sign and move bytes. Requests wait on sockets, not on threads: hundreds are under way on a few.
pub(super) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
        let threads = thread::available_parallelism().map_or(2, |cores| cores.get()).clamp(2, 8);
        Builder::new_multi_thread().worker_threads(threads).thread_name("store").enable_io().enable_time().build()
    });
    RUNTIME.as_ref().map_err(|fault| io::Error::new(fault.kind(), fault.to_string()))
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread, which sleeps while there is nothing to do.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
