//! Memory that is not to be had. Rust would abort the process, and the server would then end every connection of the cluster and
//! restart, for what one client has asked for. It is that client's connection that ends.

use super::raise;
use pgrx::pg_sys;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// Given back when there is no more, since to end in order takes some. Untouched, it is an address and no memory.
static RESERVE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
const RESERVED: Layout = Layout::new::<[u8; 1 << 20]>();

/// A backend has one thread.
static IS_ASKED_FOR: AtomicBool = AtomicBool::new(false);

/// Whether who gets no memory says so: what hashes passwords asks for megabytes, and makes a refusal of it.
pub fn is_asked_for(asked: bool) {
    IS_ASKED_FOR.store(asked, Ordering::Relaxed);
}

/// Takes the reserve. When the library is loaded.
pub fn define() {
    // SAFETY: a layout of some size.
    RESERVE.store(unsafe { System.alloc(RESERVED) }, Ordering::Relaxed);
}

/// Runs something during which the server may find no memory itself. pgrx then copies the error before it goes on, with memory that there
/// is none of, and the copying fails in turn: the server would give up as a whole. So the reserve is given back as soon as the error is made.
pub fn with_reserve<T>(body: impl FnOnce() -> T) -> T {
    struct Restored(*mut pg_sys::ErrorContextCallback);
    impl Drop for Restored {
        fn drop(&mut self) {
            // SAFETY: what was there before is still on the stack below.
            unsafe { pg_sys::error_context_stack = self.0 };
        }
    }
    if RESERVE.load(Ordering::Relaxed).is_null() {
        define();
    }
    // SAFETY: the callback stands on this frame, and is taken away before the frame goes.
    let before = unsafe { pg_sys::error_context_stack };
    let mut callback = pg_sys::ErrorContextCallback { previous: before, callback: Some(give_back), arg: std::ptr::null_mut() };
    let _restored = Restored(before);
    // SAFETY: as above.
    unsafe { pg_sys::error_context_stack = &raw mut callback };
    body()
}

unsafe extern "C-unwind" fn give_back(_argument: *mut std::ffi::c_void) {
    const OUT_OF_MEMORY: i32 = pgrx::PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as i32;
    // SAFETY: called while an error is being made.
    if unsafe { pg_sys::geterrcode() } == OUT_OF_MEMORY {
        release();
    }
}

/// Gives the reserve back; false where it was given back before.
fn release() -> bool {
    let reserve = RESERVE.swap(std::ptr::null_mut(), Ordering::Relaxed);
    if !reserve.is_null() {
        // SAFETY: taken with this layout, and nobody else's any more.
        unsafe { System.dealloc(reserve, RESERVED) };
    }
    !reserve.is_null()
}

fn or_end(memory: *mut u8) -> *mut u8 {
    // SAFETY: a read of the process's own state. The postmaster has no connection to end.
    if memory.is_null() && !IS_ASKED_FOR.load(Ordering::Relaxed) && unsafe { pg_sys::IsUnderPostmaster } && release() {
        raise::out_of_memory();
    }
    memory
}

// SAFETY: the system's own, which does what is promised here; where it has nothing, the process ends in order and nothing unwinds.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise; here and below.
        or_end(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
