/** Properties that every object has, besides its creation and modified dates. */
export const commonProperties = `
hs_object_id | Record ID | number/number | own | | readonly
hs_object_source | Record source code | string/text | pick | CRM_UI,IMPORT,API,INTEGRATION | readonly hidden
hs_object_source_label | Record source | enumeration/select | pick | CRM_UI=CRM UI,IMPORT=Import,INTEGRATION=Integration,API=API | readonly
hs_object_source_detail_1 | Record source detail 1 | string/text | text 3 ?50 | | readonly
hs_created_by_user_id | Created by user ID | number/number | int 9000000 9000040 ?15 | | readonly
hs_updated_by_user_id | Updated by user ID | number/number | int 9000000 9000040 ?10 | | readonly
hs_merged_object_ids | Merged record IDs | enumeration/checkbox | none | | readonly
hs_unique_creation_key | Unique creation key | string/text | none | | unique readonly hidden
hs_was_imported | Performed in an import | bool/booleancheckbox | bool ?30 | | readonly hidden
hs_read_only | Read only object | bool/booleancheckbox | none | | readonly hidden
hubspot_owner_id | Owner | enumeration/select | owner ?20 | | owner
hubspot_owner_assigneddate | Owner assigned date | datetime/date | datetime ?20 | | readonly
hubspot_team_id | HubSpot team | enumeration/select | pick ?60 | 4001=Sales DACH,4002=Vendas Brasil,4003=Support | readonly
hs_all_owner_ids | All owner IDs | enumeration/checkbox | owner ?20 | | readonly hidden
hs_all_team_ids | All team IDs | enumeration/checkbox | picks ?60 | 4001,4002,4003 | readonly hidden
hs_user_ids_of_all_owners | User IDs of all owners | enumeration/checkbox | int 9000000 9000040 ?20 | | readonly hidden
`

/** Properties of calls, emails, meetings, notes, tasks and other activities. */
export const activityProperties = `
hs_timestamp | Activity date | datetime/date | datetime
hs_activity_type | Activity type | enumeration/select | pick ?70 | first=First meeting,follow_up=Follow-up,demo=Demo
hs_attachment_ids | Attached file IDs | enumeration/checkbox | ids ?85
hs_body_preview | Body preview | string/text | text 12 ?20 | | readonly
hs_body_preview_html | HTML body preview | string/html | html ?20 | | readonly hidden
hs_engagement_source | Source | string/text | is CRM_UI | | readonly hidden
hs_queue_membership_ids | Queue memberships | enumeration/checkbox | none | | hidden
`

/** Properties of what costs money: line items, products, discounts, orders. */
export const moneyProperties = `
hs_currency_code | Currency | enumeration/select | pick ?10 | EUR=Euro,USD=US Dollar,GBP=British Pound,JPY=Yen
hs_external_id | External id | string/text | code X ?60
hs_source_store | Source store | string/text | url ?70
`

/** Properties of what moves through a pipeline. */
export const stagedProperties = `
hs_pipeline | Pipeline | enumeration/select | pipeline
hs_pipeline_stage | Pipeline stage | enumeration/select | stage
`
