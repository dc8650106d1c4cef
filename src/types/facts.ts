import type { Database } from '../db/database.ts'

/** What HubSpot says of a column's property. */
export type Property = {
  property: string
  label: string | null
  description: string | null
  is_archived: boolean
  is_selected: boolean
  /** The values that it offers, by value; none where it is no enumeration, or its options are elsewhere. */
  options: { value: string; label: string | null }[]
}

/** What the catalogue of Postgres does not say of the mirror. */
export type Facts = {
  /** By table. */
  comments: Map<string, string>
  /** By table, then by column; tables of objects only. */
  properties: Map<string, Map<string, Property>>
}

/** Reads labels, descriptions and options; whoever was granted hubspot.grant_read() may. */
export async function readFacts({ pool }: Database): Promise<Facts> {
  const { rows: comments } = await pool.query<{ name: string; comment: string }>(
    `select c.relname as name, obj_description(c.oid, 'pg_class') as comment from pg_class c
     where c.relnamespace = 'hubspot'::regnamespace and obj_description(c.oid, 'pg_class') is not null`,
  )
  const { rows } = await pool.query<Property & { table_name: string; column_name: string }>(`
    select t.table_name, p.column_name, p.property, p.label, p.description, p.archived_at is not null as is_archived, p.is_selected,
      case when p.type = 'enumeration' then coalesce(o.options, s.options) else '[]' end as options
    from hubspot.properties p
    join hubspot.object_types t on t.object = p.object
    cross join lateral (
      select jsonb_agg(jsonb_build_object('value', o.value, 'label', o.label) order by o.value collate "C") as options
      from hubspot.property_options o
      -- What HubSpot has empty is null here.
      where o.object = p.object and o.property = p.property and o.value <> ''
    ) o
    -- Pipelines and stages are enumerations whose options need not be told with the property.
    cross join lateral (
      select coalesce(jsonb_agg(jsonb_build_object('value', s.id, 'label', s.label) order by s.id collate "C"), '[]') as options
      from (
        select l.id, l.label from hubspot.pipelines l where l.object = p.object and p.property in ('pipeline', 'hs_pipeline')
        union
        select g.id, min(g.label) from hubspot.pipeline_stages g where g.object = p.object and p.property in ('dealstage', 'hs_pipeline_stage') group by g.id
      ) s
    ) s
    where p.column_name is not null and t.table_name is not null`)
  const properties: Facts['properties'] = new Map()
  for (const { table_name, column_name, ...property } of rows) {
    const ofTable = properties.get(table_name) ?? new Map<string, Property>()
    properties.set(table_name, ofTable.set(column_name, property))
  }
  return { comments: new Map(comments.map(({ name, comment }) => [name, comment])), properties }
}
