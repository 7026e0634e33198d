//! A scan of one of our indexes, and the rows it comes to.

use super::index::{Index, Key, Place, described_by};
use super::raise::{changed_table, undefined_table};
use pgrx::datum::IntoDatum;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use std::ptr::null_mut;

/// What is wanted of a row.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// Its columns, and those of the next one.
    Rows,
    /// Its columns; it may lie there.
    Near(Option<Place>),
    /// Whether there is one.
    Answer,
}

/// A scan of an index. Where an error comes in between, the server closes it.
pub struct Cursor {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
    pub slot: *mut pg_sys::TupleTableSlot,
    /// The slot holds a row.
    pub is_row: bool,
}

impl Cursor {
    /// At the first row.
    pub fn open(index: &Index, key: &Key, wanted: Wanted) -> Self {
        let (table, by) = open(index);
        let (key_type, procedure, datum) = match key {
            Key::Uuid(id) => (pg_sys::UUIDOID, pg_sys::F_UUID_EQ, Some(id.as_bytes().as_ptr().into())),
            Key::Octets(octets) => (pg_sys::BYTEAOID, pg_sys::F_BYTEAEQ, octets.into_datum()),
            Key::Text(text) => (pg_sys::TEXTOID, pg_sys::F_TEXTEQ, text.into_datum()),
            Key::All => (pg_sys::InvalidOid, 0, None),
        };
        let keys = datum.is_some().into();
        // SAFETY: both are open.
        let (scan, slot, is_row) = unsafe {
            let strategy = equality(table, by, datum.map(|_| key_type)).unwrap_or_else(|| changed_table());
            let (datum, collation) = (datum.unwrap_or(pg_sys::Datum::null()), *(*by).rd_indcollation);
            // Of the two only a B-tree can do what index-only scans ask of it.
            let is_asked = matches!(wanted, Wanted::Answer) && (*(*by).rd_rel).relam == pg_sys::BTREE_AM_OID;
            pg_guard_ffi_boundary(|| {
                let slot = unguarded::table_slot_create(table, null_mut());
                let snapshot = unguarded::GetActiveSnapshot();
                let mut condition = pg_sys::ScanKeyData::default();
                if keys > 0 {
                    unguarded::ScanKeyEntryInitialize(
                        &mut condition,
                        0,
                        1,
                        strategy,
                        pg_sys::InvalidOid,
                        collation,
                        procedure.into(),
                        datum,
                    );
                }
                if let Wanted::Near(Some(place)) = wanted
                    && lies_at(place, table, snapshot, slot)
                    && has_key(slot, by, &mut condition)
                {
                    return (null_mut(), slot, true);
                }
                #[cfg(not(feature = "pg18"))]
                let scan = unguarded::index_beginscan(table, by, snapshot, keys, 0);
                #[cfg(feature = "pg18")]
                let scan = unguarded::index_beginscan(table, by, snapshot, null_mut(), keys, 0);
                // Keeps the index's page pinned: between our look at it and at the map VACUUM could otherwise give the row's place away.
                (*scan).xs_want_itup = is_asked;
                unguarded::index_rescan(scan, &mut condition, keys, null_mut(), 0);
                let is_row = if is_asked { is_there(scan, slot) } else { fetch(scan, slot) };
                (scan, slot, is_row)
            })
        };
        Cursor { table, index: by, scan, slot, is_row }
    }

    pub fn next(&mut self) {
        // SAFETY: the scan is open.
        self.is_row = unsafe { pg_guard_ffi_boundary(|| fetch(self.scan, self.slot)) };
    }

    /// The locks stay to the end of the transaction, as those of statements do.
    pub fn close(&self) {
        // SAFETY: all are open, and nobody uses them after.
        unsafe {
            pg_guard_ffi_boundary(|| {
                if !self.scan.is_null() {
                    unguarded::index_endscan(self.scan);
                }
                unguarded::ExecDropSingleTupleTableSlot(self.slot);
                unguarded::relation_close(self.index, NO_LOCK);
                unguarded::relation_close(self.table, NO_LOCK);
            });
        }
    }
}

const LOCK: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;

/// Opens the table and the index that have their names when they are locked.
fn open(index: &Index) -> (pg_sys::Relation, pg_sys::Relation) {
    let mut oids = index.oids();
    loop {
        // SAFETY: a relation that is no more is null.
        let opened = unsafe {
            pg_guard_ffi_boundary(|| {
                let table = unguarded::try_relation_open(oids.0.into(), LOCK);
                [table, unguarded::try_relation_open(oids.1.into(), LOCK)]
            })
        };
        let now = index.oids();
        if now == oids && !opened.contains(&null_mut()) {
            return opened.into();
        }
        for relation in opened.into_iter().filter(|relation| !relation.is_null()) {
            // SAFETY: it is open.
            unsafe { pg_sys::relation_close(relation, NO_LOCK) };
        }
        if now == oids {
            undefined_table(index.table);
        }
        oids = now;
    }
}

/// What "equals" is called by an index; none when it is not of this table, of this kind, complete and, where it is asked for a key, first on a
/// column of its type and with that column's collation. One that is being dropped lacks the newest rows.
///
/// # Safety
/// Both are open.
unsafe fn equality(table: pg_sys::Relation, index: pg_sys::Relation, key_type: Option<pg_sys::Oid>) -> Option<pg_sys::StrategyNumber> {
    // SAFETY: the caller's promise; an index has a column at least, and 0 stands for an expression.
    unsafe {
        let described = (*index).rd_index.as_ref()?;
        if described.indrelid != (*table).rd_id || !described.indisvalid || !described.indisready {
            return None;
        }
        if let Some(key_type) = key_type {
            let column = usize::try_from(*described.indkey.values.as_ptr()).ok()?;
            described_by((*table).rd_att, column).filter(|of| of.atttypid == key_type && of.attcollation == *(*index).rd_indcollation)?;
        }
        match (*(*index).rd_rel).relam {
            pg_sys::BTREE_AM_OID => Some(pg_sys::BTEqualStrategyNumber as _),
            pg_sys::HASH_AM_OID => Some(pg_sys::HTEqualStrategyNumber as _),
            _ => None,
        }
    }
}

/// The next row that has the key, with all of its columns taken apart.
///
/// # Safety
/// Under a guard of pgrx's, with an open scan and a slot for its table's rows.
unsafe fn fetch(scan: pg_sys::IndexScanDesc, slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: the caller's promise; the scan has one key or none.
    unsafe {
        while unguarded::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            unguarded::slot_getsomeattrs_int(slot, (*(*slot).tts_tupleDescriptor).natts);
            if (*scan).numberOfKeys == 0 || has_key(slot, (*scan).indexRelation, (*scan).keyData) {
                return true;
            }
        }
        false
    }
}

/// Whether a row has the key. Asked of every row, also of what an index has found: a hash index says of each whose key has the same 32 bits of
/// hash that it may be the one, and those bits of somebody's token are guessed in a second.
///
/// # Safety
/// Under a guard of pgrx's; the slot holds a row with its columns taken apart, of the table whose index it is, and [`equality`] holds of both.
unsafe fn has_key(slot: *const pg_sys::TupleTableSlot, index: pg_sys::Relation, condition: pg_sys::ScanKey) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let column = usize::from((*(*index).rd_index).indkey.values.as_ptr().read().unsigned_abs()) - 1;
        if *(*slot).tts_isnull.add(column) {
            return false;
        }
        let value = *(*slot).tts_values.add(column);
        let condition = &mut *condition;
        unguarded::FunctionCall2Coll(&raw mut condition.sk_func, condition.sk_collation, value, condition.sk_argument).value() != 0
    }
}

/// The row at a place, with all of its columns taken apart; false when the snapshot sees none there.
///
/// # Safety
/// As [`fetch`].
unsafe fn lies_at(mut place: Place, table: pg_sys::Relation, snapshot: pg_sys::Snapshot, slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: the caller's promise; a place that the table does not reach to would be an error.
    unsafe {
        if block(&place) >= unguarded::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM) {
            return false;
        }
        let methods = &*(*table).rd_tableam;
        let (Some(begin), Some(fetch), Some(end)) = (methods.index_fetch_begin, methods.index_fetch_tuple, methods.index_fetch_end) else {
            return false;
        };
        let (reader, mut again, mut dead) = (begin(table), false, false);
        let is_row = fetch(reader, &raw mut place, snapshot, slot, &raw mut again, &raw mut dead);
        end(reader);
        if is_row {
            unguarded::slot_getsomeattrs_int(slot, (*(*slot).tts_tupleDescriptor).natts);
        }
        is_row
    }
}

fn block(place: &Place) -> pg_sys::BlockNumber {
    u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo)
}

/// Whether there is a row: what an index-only scan does.
///
/// # Safety
/// As [`fetch`], and the scan wants the index's rows.
unsafe fn is_there(scan: pg_sys::IndexScanDesc, slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (table, mut map) = ((*scan).heapRelation, pg_sys::InvalidBuffer as pg_sys::Buffer);
        let mut is_there = false;
        while !is_there {
            let place = unguarded::index_getnext_tid(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if place.is_null() {
                break;
            }
            let block = block(&*place);
            is_there = if u32::from(unguarded::visibilitymap_get_status(table, block, &mut map)) & pg_sys::VISIBILITYMAP_ALL_VISIBLE != 0 {
                unguarded::PredicateLockPage(table, block, (*scan).xs_snapshot);
                true
            } else {
                unguarded::index_fetch_heap(scan, slot)
            };
        }
        if map != pg_sys::InvalidBuffer as pg_sys::Buffer {
            unguarded::ReleaseBuffer(map);
        }
        is_there
    }
}

/// The server's functions without the guard that pgrx puts around each: a guard takes longer than some of these do. They are called under
/// one together, in frames that hold nothing to drop.
pub mod unguarded {
    use pgrx::pg_sys::*;
    use std::ffi::c_int;

    unsafe extern "C-unwind" {
        pub fn try_relation_open(relation: Oid, lock: LOCKMODE) -> Relation;
        pub fn relation_close(relation: Relation, lock: LOCKMODE);
        pub fn ScanKeyEntryInitialize(
            entry: ScanKey,
            flags: c_int,
            column: AttrNumber,
            strategy: StrategyNumber,
            subtype: Oid,
            collation: Oid,
            procedure: RegProcedure,
            argument: Datum,
        );
        /// The handler of a signal, which is called without anything of ours below it.
        pub fn die(signal: c_int);
        pub fn ActiveSnapshotSet() -> bool;
        pub fn GetActiveSnapshot() -> Snapshot;
        #[cfg(not(feature = "pg18"))]
        pub fn index_beginscan(table: Relation, index: Relation, snapshot: Snapshot, keys: c_int, order_bys: c_int) -> IndexScanDesc;
        #[cfg(feature = "pg18")]
        pub fn index_beginscan(
            table: Relation,
            index: Relation,
            snapshot: Snapshot,
            instrument: *mut IndexScanInstrumentation,
            keys: c_int,
            order_bys: c_int,
        ) -> IndexScanDesc;
        pub fn index_rescan(scan: IndexScanDesc, keys: ScanKey, key_count: c_int, order_bys: ScanKey, order_by_count: c_int);
        pub fn index_getnext_slot(scan: IndexScanDesc, direction: ScanDirection::Type, slot: *mut TupleTableSlot) -> bool;
        pub fn index_getnext_tid(scan: IndexScanDesc, direction: ScanDirection::Type) -> ItemPointer;
        pub fn FunctionCall2Coll(function: *mut FmgrInfo, collation: Oid, one: Datum, other: Datum) -> Datum;
        pub fn index_fetch_heap(scan: IndexScanDesc, slot: *mut TupleTableSlot) -> bool;
        pub fn index_endscan(scan: IndexScanDesc);
        pub fn table_slot_create(table: Relation, slots: *mut *mut List) -> *mut TupleTableSlot;
        pub fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, column: c_int);
        pub fn ExecDropSingleTupleTableSlot(slot: *mut TupleTableSlot);
        pub fn visibilitymap_get_status(table: Relation, block: BlockNumber, map: *mut Buffer) -> uint8;
        pub fn PredicateLockPage(table: Relation, block: BlockNumber, snapshot: Snapshot);
        pub fn RelationGetNumberOfBlocksInFork(table: Relation, fork: ForkNumber::Type) -> BlockNumber;
        pub fn ReleaseBuffer(buffer: Buffer);
    }
}
