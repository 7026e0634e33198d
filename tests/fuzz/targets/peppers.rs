#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pg_auth_fuzz::check("peppers", data);
});
