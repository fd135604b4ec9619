//! A short slice of the processor for the thread that fires.
//!
//! Linux picks who runs next by virtual deadline, and a thread's deadline is as far away as the slice it asks for: who asks for
//! little comes sooner after waking, and gets no more time in all (kernel documentation, scheduler/sched-eevdf.rst; a thread may
//! ask since Linux 6.12, by `sched_runtime` of sched_setattr(2), without privileges). Viewers wake for some tens of microseconds
//! and then wait, beside proxies on the same cores in a rehearsal, so that is what they ask for.

use std::io;

/// The shortest slice that Linux grants, in nanoseconds.
const SLICE_NS: u64 = 100_000;

/// Asks for the shortest slice for the calling thread. Kernels before 6.12 take no notice.
///
/// # Errors
/// What the system said, such as that a sandbox forbids the call. The thread then keeps the slice that all have.
pub(crate) fn shorten() -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        // Given anew by the call, so it must be what it is.
        sched_nice: rustix::process::getpriority_process(None)?,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: sched_setattr(2) reads `size` bytes behind the pointer, which is a live `sched_attr` of that size, and keeps
    // nothing of it; thread 0 is the caller, and no flag is set. No crate that is kept wraps this call.
    #[expect(unsafe_code, reason = "no crate offers sched_setattr(2) for ordinary threads")]
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_ask_for_a_short_slice_and_keeps_its_nice_value() {
        std::thread::spawn(|| {
            let nice = rustix::process::getpriority_process(None).unwrap();
            shorten().unwrap();
            assert_eq!(rustix::process::getpriority_process(None).unwrap(), nice);
            // `se.slice` is told since the same version as it is heeded (kernel/sched/debug.c).
            let told = std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
            if let Some(line) = told.lines().find(|line| line.starts_with("se.slice")) {
                assert!(line.ends_with(" 100000"), "{line}");
            }
        })
        .join()
        .unwrap();
    }
}
