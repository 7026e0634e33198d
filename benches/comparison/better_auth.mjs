// Better Auth on its own tables in the same server, through auth.api: what it takes, in microseconds. "migrate" makes the tables, "busy" asks for
// sessions, four at a time, and says what one took of the whole; "turns" does what each line of its input says, so many times, and answers with
// a line of JSON: what each took.
import { betterAuth } from "better-auth";
import { admin } from "better-auth/plugins";
import { getMigrations } from "better-auth/db/migration";
import { createInterface } from "node:readline";
import pg from "pg";

const pool = new pg.Pool({ max: 4 });
const auth = betterAuth({
  database: pool, secret: "a secret for benchmarks, of enough characters", baseURL: "http://localhost:3000",
  emailAndPassword: { enabled: true }, plugins: [admin()], logger: { disabled: true }, telemetry: { enabled: false }, rateLimit: { enabled: false },
});

if (process.argv[2] === "migrate") {
  await (await getMigrations(auth.options)).runMigrations();
  await auth.api.signUpEmail({ body: { email: "root@bench.example", password: "correct horse battery", name: "Root" } });
  const { internalAdapter } = await auth.$context;
  const root = (await internalAdapter.findUserByEmail("root@bench.example")).user;
  await internalAdapter.updateUser(root.id, { role: "admin" });
  await pool.end();
  process.exit(0);
}

const { headers: answered } = await auth.api.signInEmail({ body: { email: "root@bench.example", password: "correct horse battery" }, returnHeaders: true });
const headers = new Headers({ cookie: answered.getSetCookie().map((cookie) => cookie.split(";")[0]).join("; ") });
if (process.argv[2] === "busy") {
  const calls = 2000;
  const ask = async (times) => { for (let n = 0; n < times; n++) await auth.api.getSession({ headers }); };
  await ask(200);
  const began = process.hrtime.bigint();
  await Promise.all([1, 2, 3, 4].map(() => ask(calls / 4)));
  console.log(Number(process.hrtime.bigint() - began) / 1000 / calls);
  await pool.end();
  process.exit(0);
}

const target = (await pool.query(`select id from "user" where email = 'user77@bench.example'`)).rows[0].id;
const number = () => 1 + Math.floor(Math.random() * 100000);

const calls = {
  get_session: () => auth.api.getSession({ headers }),
  first_page: () => auth.api.listUsers({ headers, query: { limit: 100, sortBy: "createdAt", sortDirection: "desc" } }),
  search: () => auth.api.listUsers({ headers, query: { limit: 10, searchValue: `r${number()}@`, searchField: "email", searchOperator: "contains" } }),
  by_role: () => auth.api.listUsers({ headers, query: { limit: 10, filterField: "role", filterValue: "editor", filterOperator: "eq" } }),
  by_banned: () => auth.api.listUsers({ headers, query: { limit: 10, filterField: "banned", filterValue: true, filterOperator: "eq" } }),
  // Of somebody who is signed in, as who is banned is.
  ban_unban: async () => {
    await auth.api.banUser({ headers, body: { userId: target, banReason: "spam" } });
    await auth.api.unbanUser({ headers, body: { userId: target } });
  },
};
const { internalAdapter } = await auth.$context;
for await (const line of createInterface({ input: process.stdin })) {
  const [name, times] = line.split(" ");
  const took = [];
  for (let n = 0; n < Number(times); n++) {
    if (name === "ban_unban") await internalAdapter.createSession(target);
    const began = process.hrtime.bigint();
    await calls[name]();
    took.push(Number(process.hrtime.bigint() - began) / 1000);
  }
  console.log(JSON.stringify(took));
}
await pool.end();
