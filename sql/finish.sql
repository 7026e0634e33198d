-- The first key.
with pair as (select p.kid, p.public_key, p.private_key from auth_private.new_signing_key() p),
     key as (insert into auth_private.signing_keys (kid, public_key) select p.kid, p.public_key from pair p)
insert into auth_private.signing_secrets (kid, private_key) select p.kid, p.private_key from pair p;

-- A PostgREST that is running learns of the functions and of the key.
notify pgrst, 'reload schema';
notify pgrst, 'reload config';
