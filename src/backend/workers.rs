//! Background workers: one that wakes up now and then, and one for each database that it then visits. Only where the library is in
//! shared_preload_libraries.

use super::cursor::unguarded;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime, SignalWakeFlags};
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::time::Duration;

const LIBRARY: &str = "pg_auth";
const LONGEST_VISIT: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(100);

/// Registers the worker whose entry is this exported function. When the library is loaded.
pub fn register(entry: &str) {
    // SAFETY: a read of the postmaster's own state.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        BackgroundWorkerBuilder::new("pg_auth housekeeping")
            .set_library(LIBRARY)
            .set_function(entry)
            .enable_spi_access()
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(Some(Duration::from_secs(60)))
            .load();
    }
}

/// In a worker: connects it, to no database where there is none. As the superuser who made the cluster.
pub fn connect(database: Option<pg_sys::Oid>) {
    match database {
        Some(oid) => {
            // SIGTERM ends it wherever it waits, also for a database that somebody is renaming; and only there. What the server has for workers
            // ends them within the handler: amid an allocation that leaves the memory corrupt or waits for ever, and amid a change of the log the
            // server itself ends.
            // SAFETY: the handlers are the server's own.
            unsafe {
                #[cfg(not(feature = "pg18"))]
                pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(unguarded::die));
                #[cfg(feature = "pg18")]
                pg_sys::pqsignal_be(pg_sys::SIGTERM as i32, Some(unguarded::die));
                pg_sys::BackgroundWorkerUnblockSignals();
            }
            BackgroundWorker::connect_worker_to_spi_by_oid(Some(oid), None)
        }
        None => {
            BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
            BackgroundWorker::connect_worker_to_spi(None, None)
        }
    }
}

/// The argument with which [`visit`] has started this worker.
pub fn database(argument: pg_sys::Datum) -> Option<pg_sys::Oid> {
    // SAFETY: an oid, and not null.
    unsafe { pg_sys::Oid::from_datum(argument, false) }
}

/// The databases of the cluster that one can connect to, but for templates. Below SQL, which needs a database to run in, as the server's
/// own autovacuum reads them.
pub fn databases() -> Vec<pg_sys::Oid> {
    BackgroundWorker::transaction(|| {
        let mut found = Vec::new();
        // SAFETY: relation, scan and tuples live until they are closed below; an error ends the worker.
        unsafe {
            let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
            let nothing = std::ptr::null_mut;
            let scan = pg_sys::systable_beginscan(relation, pg_sys::InvalidOid, false, nothing(), 0, std::ptr::null_mut());
            loop {
                let tuple = pg_sys::systable_getnext(scan);
                if tuple.is_null() {
                    break;
                }
                let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
                if (*row).datallowconn && !(*row).datistemplate {
                    found.push((*row).oid);
                }
            }
            pg_sys::systable_endscan(scan);
            pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        }
        found
    })
}

/// In a worker that was told to end: it does, and comes back unless the server is shutting down. With 0 it would be gone for good.
#[allow(unreachable_code)] // of some versions' headers one cannot read that it does not return
pub fn end() -> ! {
    // SAFETY: outside of any transaction.
    unsafe { pg_sys::proc_exit(1) };
    unreachable!("proc_exit does not return")
}

/// In a worker: runs something in a transaction of its own.
pub fn transaction<T>(body: fn() -> T) -> T {
    BackgroundWorker::transaction(body)
}

/// In a worker: sleeps; false when it is to end. Settings are then as the file says now.
pub fn sleep(seconds: i32) -> bool {
    let goes_on = BackgroundWorker::wait_latch(Some(Duration::from_secs(seconds.unsigned_abs().into())));
    if BackgroundWorker::sighup_received() {
        // SAFETY: outside of any transaction, as the server's own workers do it.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
    goes_on
}

/// In a worker: runs another one with this entry in a database, and waits for its end; not for ever, or one database would keep all
/// others waiting. False when this worker is to end: it is told so once, and a fast shutdown waits for it.
pub fn visit(entry: &str, database: pg_sys::Oid) -> bool {
    let worker = BackgroundWorkerBuilder::new("pg_auth housekeeping of a database")
        .set_library(LIBRARY)
        .set_function(entry)
        .enable_spi_access()
        .set_restart_time(None)
        .set_argument(database.into_datum())
        // SAFETY: a read of our own process's number.
        .set_notify_pid(unsafe { pg_sys::MyProcPid })
        .load_dynamic();
    // Where no worker is free now, there is another time.
    let Ok(worker) = worker else { return true };
    for _ in 0..LONGEST_VISIT.as_millis() / GLANCE.as_millis() {
        if matches!(worker.pid(), Err(BackgroundWorkerStatus::Stopped)) {
            return true;
        }
        if !BackgroundWorker::wait_latch(Some(GLANCE)) {
            return false;
        }
    }
    let _ = worker.terminate().wait_for_shutdown();
    true
}
