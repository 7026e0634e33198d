//! The memory that argon2 works in: one piece for each backend, kept from hash to hash. To ask the system for 19 MiB and to touch
//! each page for the first time takes a millisecond, and several where the system gives them back in between.
//!
//! It lies in huge pages, and after a hash the system is told that it may have them: it takes them when it is short of memory, and
//! until then they are there without asking. So a pool of idle connections holds no memory that somebody else needs. Where there are no
//! huge pages, or where the system counts what is promised and not what is used (`vm.overcommit_memory = 2`), nothing is kept.

use crate::domain::argon2id::Memory;
use argon2::Block;
use memmap2::{MmapMut, MmapOptions};
use std::cell::RefCell;

/// What the system has pages of, where it has huge ones.
const HUGE_PAGE: usize = 2 << 20;
/// What RFC 9106 recommends where memory is short. A hash that came from elsewhere, or under a setting of one's own, may need more.
const KEPT_AT_MOST: usize = 64 << 20;

thread_local! {
    static KEPT: RefCell<HashMemory> = const { RefCell::new(HashMemory(None)) };
}

/// Memory for hashes.
pub struct HashMemory(Option<MmapMut>);

/// Lends this backend's memory to a hash.
pub fn with<T>(hashing: impl FnOnce(&mut dyn Memory) -> T) -> T {
    KEPT.with_borrow_mut(|memory| {
        let outcome = hashing(memory);
        memory.rest();
        outcome
    })
}

impl HashMemory {
    /// Lets the system have the memory when it needs some. Ordinary pages, of which there are thousands, are sooner given back.
    fn rest(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(map) = self.0.as_ref().filter(|map| map.len() <= KEPT_AT_MOST + HUGE_PAGE && *linux::LETS_KEEP) {
            // SAFETY: nobody refers to what is in it, and the next hash writes each block before it reads it.
            if unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::Free) }.is_ok() {
                return;
            }
        }
        self.0 = None;
    }
}

impl Memory for HashMemory {
    fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        // One page more, to begin where a page does.
        let octets = count.checked_mul(size_of::<Block>())?.checked_next_multiple_of(HUGE_PAGE)?.checked_add(HUGE_PAGE)?;
        if self.0.as_ref().is_none_or(|map| map.len() < octets) {
            self.0 = None;
            self.0 = Some(MmapOptions::new().len(octets).map_anon().ok()?);
            // A core dump would otherwise show what the last password was hashed to on the way, which is sooner guessed than the hash.
            #[cfg(target_os = "linux")]
            for advice in [memmap2::Advice::HugePage, memmap2::Advice::DontDump] {
                self.0.as_ref()?.advise(advice).ok();
            }
        }
        let start = self.0.as_mut()?.as_mut_ptr();
        let aligned = start.wrapping_add(start.align_offset(HUGE_PAGE)).cast::<Block>();
        // SAFETY: the mapping is a huge page longer than the blocks, whose alignment is less than that of a page; any octets are a
        // block; and it is ours alone for as long as `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts_mut(aligned, count) })
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::read_to_string;
    use std::sync::LazyLock;

    /// Whether the system makes huge pages of what asks for them, and counts no memory that it may take.
    pub static LETS_KEEP: LazyLock<bool> = LazyLock::new(|| {
        read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|setting| !setting.contains("[never]"))
            && read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|setting| setting.trim() != "2")
    });
}
