import { parseSync } from 'libpg-query'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Param } from '../src/gateway/query/ids.ts'
import { acts, GRAMMAR, loadParser, TooComplex } from '../src/gateway/query.ts'
import { guessed } from '../src/gateway/query/guess.ts'
import { withoutSnapshot } from '../src/gateway/query/snapshot.ts'
import { shown, text, touched } from './support/touched.ts'

beforeAll(loadParser)

describe('what postgres_fdw sends', () => {
  test.for<[string, string[], Param[]?]>([
    ['DECLARE c1 CURSOR FOR\nSELECT id, amount FROM hubspot.deals WHERE ((id = 7))', ['deals id=7']],
    [`DECLARE c1 CURSOR FOR SELECT id FROM hubspot.deals WHERE ((id = ANY ('{1,2,3}'::bigint[])))`, ['deals id=1,2,3']],
    ['DECLARE c1 CURSOR FOR SELECT id FROM hubspot.deals WHERE ((id = 11::bigint))', ['deals id=11']],
    ['DECLARE c1 CURSOR FOR SELECT id FROM hubspot.deals WHERE ((id = $1::bigint))', ['deals id=12'], [text('12')]],
    ['SELECT r1.id, r2.name FROM (hubspot.deals r1 INNER JOIN hubspot.companies r2 ON (((r1.company_id = r2.id)) AND ((r1.id = 5))))', ['deals id=5', 'companies *']],
    ['SELECT r1.id FROM (hubspot.deals r1 LEFT JOIN hubspot.companies r2 ON (((r1.company_id = r2.id)))) WHERE ((r1.id = 1))', ['deals id=1', 'companies *']],
    ['SELECT r1.id FROM hubspot.deals r1 WHERE EXISTS (SELECT NULL FROM hubspot.contacts r2 WHERE ((r2.id = 3)) AND ((r1.id = r2.deal)))', ['deals *', 'contacts id=3']],
    ['SELECT dealstage, count(*), sum(amount) FROM hubspot.deals GROUP BY 1', ['deals *']],
    ['SELECT id FROM hubspot.deals ORDER BY amount DESC NULLS FIRST LIMIT 2::bigint', ['deals *']],
    ['DECLARE c2 CURSOR FOR SELECT id, ctid FROM hubspot.deals WHERE ((id = 9)) FOR UPDATE OF deals', ['deals id=9']],
    ['DECLARE c1 CURSOR FOR SELECT id FROM hubspot.deals WHERE ((id = 1) OR (id = 2))', ['deals id=1,2']],
    ["DECLARE c1 CURSOR FOR SELECT id FROM hubspot.deals WHERE ((id = '-1'::bigint))", ['deals id=']],
    ['SELECT deal_id FROM hubspot.deals_contacts WHERE ((deal_id = 4))', ['deals_contacts deal_id=4']],
    ['FETCH 100 FROM c1', []],
    ['CLOSE c1', []],
    ['EXPLAIN SELECT id FROM hubspot.deals WHERE ((id = ((SELECT null::bigint)::bigint)))', []],
    ["SELECT pg_catalog.pg_relation_size('hubspot.deals'::pg_catalog.regclass) / 8192", []],
    ['SAVEPOINT s2', []],
    ['ROLLBACK TO SAVEPOINT s2; RELEASE SAVEPOINT s2', []],
    ['DEALLOCATE pgsql_fdw_prep_1', []],
  ])('%s', ([statement, expected, params]) => {
    expect(touched(statement, params)).toEqual(expected)
  })

  test('asks for rows one snapshot of which would be stale by the next statement; of whom else that is asked is not changed', () => {
    const session = { state: new Map<string, unknown>() }
    expect(withoutSnapshot('SET search_path = pg_catalog', session)).toBeUndefined()
    expect(withoutSnapshot('START TRANSACTION ISOLATION LEVEL REPEATABLE READ', session)).toBe('START TRANSACTION ISOLATION LEVEL READ COMMITTED')
    expect(withoutSnapshot('START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY', session)).toBe('START TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY')
    expect(withoutSnapshot('START TRANSACTION ISOLATION LEVEL SERIALIZABLE', session)).toBeUndefined()
    expect(withoutSnapshot("select 'START TRANSACTION ISOLATION LEVEL REPEATABLE READ'", session)).toBeUndefined()
    const direct = { state: new Map<string, unknown>() }
    expect(withoutSnapshot('select 1', direct)).toBeUndefined()
    expect(withoutSnapshot('SET search_path = pg_catalog', direct)).toBeUndefined()
    expect(withoutSnapshot('START TRANSACTION ISOLATION LEVEL REPEATABLE READ', direct)).toBeUndefined()
  })
})

describe('what others send', () => {
  test.for<[string, string[]]>([
    ['select * from deals where id = 7', ['?.deals id=7']],
    ['select * from hubspot.deals d where 7 = d.id and d.amount > 3', ['deals id=7']],
    ['select * from hubspot.deals d where hubspot.deals.id = 7', ['deals *']],
    ['select * from hubspot.deals where hubspot.deals.id = 7', ['deals id=7']],
    ['select * from hubspot.deals where deals.id in (7, 8, null)', ['deals id=7,8']],
    ['select * from hubspot.deals where id not in (7, 8)', ['deals *']],
    ['select * from hubspot.deals where id <> all (array[7, 8])', ['deals *']],
    ['select * from hubspot.deals where id = any (array[7, 8])', ['deals id=7,8']],
    ["select * from hubspot.deals where id = any ('{}')", ['deals id=']],
    ["select * from hubspot.deals where id = any ('{{1},{2}}')", ['deals *']],
    ['select * from hubspot.deals where id = 7 or amount = 1', ['deals *']],
    ['select * from hubspot.deals where not (id = 7)', ['deals *']],
    ['select * from hubspot.deals where (id = 7) is not true', ['deals *']],
    ['select * from hubspot.deals where id + 1 = 7', ['deals *']],
    ['select * from hubspot.deals where id = 7.5', ['deals *']],
    ['select * from hubspot.deals where id = 7.0', ['deals id=7']],
    ['select * from hubspot.deals where id::text = \'7\'', ['deals id=7']],
    ["select * from hubspot.deals where (id)::numeric = any ('{7.00,8}'::numeric[])", ['deals id=7,8']],
    ['select * from hubspot.deals where id::text = $1', ['deals *']],
    ['select * from hubspot.deals where id::varchar(1) = \'7\'', ['deals *']],
    ['select * from hubspot.deals where id is not distinct from 7', ['deals id=7']],
    ['select * from hubspot.deals where (not (id is distinct from 7))', ['deals id=7']],
    ["select * from hubspot.deals where id = '7'::oid", ['deals id=7']],
    ["select * from hubspot.deals where id = '-7'::oid", ['deals *']],
    ['select * from hubspot.deals where id = (-7)::oid', ['deals *']],
    ['select * from hubspot.deals where id is distinct from 7', ['deals *']],
    ['select * from hubspot.deals where id is not distinct from null', ['deals *']],
    ['select * from hubspot.deals where id = 7::boolean::int', ['deals *']],
    ['select * from hubspot.deals where id = 7::numeric(3, -1)', ['deals *']],
    ['select * from hubspot.deals where id operator(mine.=) 7', ['deals *']],
    ['select * from hubspot.deals where id = 99999999999999999999', ['deals id=']],
    ['select * from hubspot.deals as d (x, id) where id = 7', ['deals *']],
    ['select * from hubspot.deals a, hubspot.deals b where a.id = 1 and b.id = 2', ['deals id=1', 'deals id=2']],
    ['select * from hubspot.deals a, hubspot.contacts b where id = 1', ['deals *', 'contacts *']],
    ['select from hubspot.deals d join hubspot.deals_contacts l on l.deal_id = d.id where d.id = 42', ['deals id=42', 'deals_contacts *']],
    ['select from hubspot.deals d join hubspot.deals_contacts l on l.deal_id = d.id where d.id = 42 and l.deal_id = 42', ['deals id=42', 'deals_contacts deal_id=42']],
    ['merge into mine m using (select * from hubspot.deals where id = 7) d on m.id = d.id when not matched by source then delete', ['deals id=7']],
    ['select * from hubspot.deals a left join hubspot.contacts b on a.id = 1 and b.id = 2', ['deals *', 'contacts id=2']],
    ['select * from hubspot.deals a right join hubspot.contacts b on a.id = 1 and b.id = 2', ['deals id=1', 'contacts *']],
    ['select * from hubspot.deals a full join hubspot.contacts b on a.id = 1 and b.id = 2', ['deals *', 'contacts *']],
    ['select * from (hubspot.deals a cross join hubspot.contacts b) a where a.id = 1', ['deals *', 'contacts *']],
    ['select * from (select * from hubspot.deals) d where d.id = 7', ['deals *']],
    ['select * from (select * from hubspot.deals where id = 7) d', ['deals id=7']],
    ['select (select amount from hubspot.deals where id = 7)', ['deals id=7']],
    ['select 1 where exists (select from hubspot.deals) order by (select count(*) from hubspot.contacts)', ['deals *', 'contacts *']],
    ['select from hubspot.deals where id = 1 union all select from hubspot.deals where id = 2', ['deals id=1', 'deals id=2']],
    ['with deals as (select * from hubspot.deals where id = 1) select * from deals', ['deals id=1']],
    ['with d as (select * from deals), deals as (select 1) select * from deals, d', ['?.deals *']],
    ['with recursive t as (select * from hubspot.deals union select t.* from t) select * from t', ['deals *']],
    ['select * from hubspot.deals tablesample system (10) where id = 1', ['deals id=1']],
    ['select * from hubspot.deals d, lateral (select * from hubspot.contacts c where c.id = d.id) x where d.id = 1', ['deals id=1', 'contacts *']],
    ['select * from generate_series(1, (select count(*) from hubspot.deals))', ['deals *']],
    ['values ((select count(*) from hubspot.deals))', ['deals *']],
    ['table hubspot.deals', ['deals *']],
    ['copy hubspot.deals to stdout', ['deals *']],
    ['copy (select * from hubspot.deals where id = 1) to stdout', ['deals id=1']],
    ['create table mine as select * from hubspot.deals', ['deals *']],
    ['select * into mine from hubspot.deals', ['deals *']],
    ['refresh materialized view mine.won', ['mine.won *']],
    ['explain (analyze, costs off) select * from hubspot.deals where id = 1', ['deals id=1']],
    ['explain (analyze false) select * from hubspot.deals', []],
    ['explain (analyze 0) select * from hubspot.deals', []],
    ['explain (analyze off) select * from hubspot.deals', []],
    ['explain (analyze true) select * from hubspot.deals', ['deals *']],
    ['create view mine.won as select * from hubspot.deals', []],
    ['lock table hubspot.deals', []],
    ['select 1; select * from hubspot.deals where id = 1', ['deals id=1']],
    ['insert into mine.deals select * from hubspot.deals where id = 1', ['deals id=1']],
    ['update mine m set x = d.amount from hubspot.deals d where d.id = 7 and m.id = d.id returning *', ['deals id=7']],
    ['update mine set x = 1 from hubspot.deals d left join hubspot.contacts c on c.id = 8 and d.id = 9 where d.id = 7', ['deals id=7', 'contacts id=8']],
    ['update mine set x = (select amount from hubspot.deals where id = 7) where id = 8', ['deals id=7']],
    ['update mine m set x = 1 from hubspot.deals d where m.id = 7', ['deals *']],
    ['delete from mine m using hubspot.deals d, hubspot.contacts c where d.id in (7, 8) and m.id = c.id', ['deals id=7,8', 'contacts *']],
    ['delete from mine using hubspot.deals where id = 7', ['deals *']],
    ['with gone as (delete from mine using hubspot.deals d where d.id = 7 returning 1) select * from gone', ['deals id=7']],
    ['with deals as (select 7 as id) delete from mine using deals where deals.id = 7', []],
    ['merge into mine m using hubspot.deals d on d.id = 7 when not matched by source then delete', ['deals *']],
    ['select from where', []],
    ["select * from hubspot.deals where id = '7'::mine.int4", ['deals *']],
    ["select * from hubspot.deals where id = '7'::pg_catalog.int4", ['deals id=7']],
    ["select * from hubspot.deals where id = '7'::float4", ['deals *']],
    ['select * from hubspot.deals where id = 7::"numeric"', ['deals *']],
    ['', []],
    [' \n', []],
    [';;', []],
    ['/* ping */ -- pong', []],
  ])('%s', ([statement, expected]) => {
    expect(touched(statement)).toEqual(expected)
  })

  test('prepared in SQL: what it reads is known by what it is executed with', () => {
    const [prepared, executed] = acts('prepare p (bigint) as select * from hubspot.deals where id = $1; execute p (7)') ?? []
    expect(prepared?.touches).toEqual([])
    expect(executed?.executes).toEqual({ name: 'p', args: [{ text: '7' }] })
    expect(shown(prepared?.prepares?.touches ?? [], [text('7')])).toEqual(['deals id=7'])
    expect(shown(prepared?.prepares?.touches ?? [], [])).toEqual(['deals *'])
  })

  test('whole rows as values are told from what is only selected', () => {
    const whole = (statement: string) => acts(statement)?.flatMap((act) => act.touches.flatMap(({ relation, isWhole }) => (isWhole ? [relation.name] : [])))
    expect(whole('select contacts from hubspot.contacts')).toEqual(['contacts'])
    expect(whole('select c.*::text from hubspot.contacts c, hubspot.deals d')).toEqual(['contacts'])
    expect(whole('select to_jsonb(c) from hubspot.contacts c join hubspot.deals d on true')).toEqual(['contacts'])
    expect(whole("select 1 from hubspot.contacts where contacts.* is not null")).toEqual(['contacts'])
    expect(whole('select (select x::text) from (select * from hubspot.contacts) x')).toEqual(['contacts'])
    expect(whole('with x as (select * from hubspot.contacts) select x from x')).toEqual(['contacts'])
    expect(whole('select id from hubspot.contacts natural join hubspot.deals')).toEqual(['contacts', 'deals'])
    for (const xml of ['xmlforest(c.*)', 'xmlelement(name a, xmlattributes(c.*))']) expect(whole(`select ${xml} from hubspot.contacts c`)).toEqual(['contacts'])
    for (const plain of ['select * from hubspot.contacts', 'select c.* from hubspot.contacts c', 'select count(*) from hubspot.contacts', 'select id from hubspot.contacts', 'table hubspot.contacts']) expect(whole(plain)).toEqual([])
  })

  test('writes are told from reads', () => {
    const targets = (statement: string) => acts(statement)?.flatMap((act) => act.targets.map(({ relation, verb }) => `${verb} ${relation.name}`))
    expect(targets('insert into hubspot.deals (id) values (1)')).toEqual(['inserted into deals'])
    expect(targets('UPDATE hubspot.deals SET amount = 4242 WHERE ((id = 30)) RETURNING id, amount')).toEqual(['updated deals'])
    expect(targets('delete from hubspot.deals where ctid = $1')).toEqual(['deleted from deals'])
    expect(targets('merge into hubspot.deals d using mine m on m.id = d.id when matched then delete')).toEqual(['merged into deals'])
    expect(targets('TRUNCATE hubspot.deals, hubspot.contacts CONTINUE IDENTITY RESTRICT')).toEqual(['truncated deals', 'truncated contacts'])
    expect(targets('copy hubspot.deals from stdin')).toEqual(['written deals'])
    expect(targets('with gone as (delete from hubspot.deals returning id) select * from gone')).toEqual(['deleted from deals'])
    expect(targets('explain analyze delete from hubspot.deals')).toEqual(['deleted from deals'])
    expect(targets('select * from hubspot.deals')).toEqual([])
  })
})

describe('what is long', () => {
  const list = Array.from({ length: 30_000 }, (_, i) => i).join()
  test.for<[string, string]>([
    ['where it may read a relation', `select 1 from mine where 1 in (${list})`],
    ['by a name in a literal, as it seems', `select $$'$$, ${list}, $$'$$ from hubspot.deals`],
    ['behind a literal that escapes', `select e'\\'', ${list} from hubspot.deals where 'x' = ''`],
    ['behind one on two lines', `select e'a'\n'\\'', ${list} from hubspot.deals where 'x' = ''`],
    ['behind comments', `/* /* ' */ from */ select 1 -- '\n, ${list} from hubspot.deals where 'x' = ''`],
  ])('%s is not looked into', ([, statement]) => {
    expect(() => acts(statement)).toThrow(TooComplex)
    expect(touched('select * from hubspot.deals where id = 7')).toEqual(['deals id=7'])
  })

  test('and reads no relation goes on, whatever its literals, names and comments say', () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `(${i}, 'from hubspot.deals')`).join()
    expect(acts(`insert into mine (id, "from") values ${rows} /* table */`)).toEqual([{ touches: [], targets: [], unsettles: true }])
    expect(acts(`select e'\\' from ', $from$ table ' $from$, ${list}`)).toHaveLength(1)
  })

  test('in its literals alone is looked into', () => {
    expect(touched(`insert into mine select '${"x''".repeat(3_000_000)}' from hubspot.deals where id = 7`)).toEqual(['deals id=7'])
    expect(touched(`select $a$${'$$'.repeat(1_000_000)}$a$, e'${"\\'".repeat(1_000_000)}' from hubspot.deals where id = 7`)).toEqual(['deals id=7'])
    expect(touched(`select * from hubspot.deals where id = any ('{${'1,'.repeat(1_000_000)}1}')`)).toEqual(['deals *'])
    expect(touched(`${' /* x */ -- y\n'.repeat(20_000)}select from hubspot.deals where id = 7`)).toEqual(['deals id=7'])
  })

  test('nested as deep as the server itself does not read, it is left to the server', () => {
    expect(acts(`select ${'('.repeat(20_000)}1${')'.repeat(20_000)}`)).toBeUndefined()
  })

  test('many ids in one array are no trouble', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => String(i + 1))
    expect(touched(`select * from hubspot.deals where id = any ('{${many.join()}}')`)).toEqual([`deals id=${many.join()}`])
  })
})

describe('what the parser does not read', () => {
  const named = (text: string, escapes = false) => guessed(text, escapes).touches.map(({ relation: { schema, name } }) => (schema === undefined ? name : `${schema}.${name}`))
  test('reads whatever it names', () => {
    expect(named('select system_user.id from hubspot.Contacts system_user')).toEqual(['select', 'system_user', 'id', 'system_user.id', 'from', 'hubspot', 'contacts', 'hubspot.contacts'])
    expect(named('select 1 from "Hub""spot" /* x */ . -- y\n "A" where \'from b\' = $$from c$$')).toEqual(['select', 'from', 'Hub"spot', 'A', 'Hub"spot.A', 'where'])
    expect(named("select 'O\\' from a', x from b", true)).toEqual(['select', 'x', 'from', 'b'])
    expect(named('insert into mine values (1)')).toEqual([])
  })

  test('is refused where its names do not tell', () => {
    for (const text of ['select * from U&"\\0061"', 'execute p', 'set x = 1; select * from a']) expect(() => guessed(text, false)).toThrow('cannot tell')
    expect(() => guessed(`select ${Array.from({ length: 1_001 }, (_, i) => `a${i}`).join()} from b`, false)).toThrow('too long')
    expect(named('select * from a; -- that is all')).toContain('a')
  })

  test('is of the version that it says', () => {
    expect(Math.floor(parseSync('select 1').version! / 10_000)).toBe(GRAMMAR)
  })
})
