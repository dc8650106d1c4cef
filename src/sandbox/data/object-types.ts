import { activityProperties, moneyProperties, stagedProperties } from './common.ts'
import { companyProperties, dealProperties, ticketProperties } from './companies-deals-tickets.ts'
import { contactProperties } from './contacts.ts'

/** An object type as HubSpot knows it. */
export interface ObjectType {
  /** The plural in paths: `contacts`; a custom object's own name: `vehicle`. */
  readonly name: string
  readonly singular: string
  readonly typeId: string
  readonly custom: boolean
  /** The property that holds the creation date, and the one that holds the modified date. */
  readonly created: 'createdate' | 'hs_createdate'
  readonly modified: 'lastmodifieddate' | 'hs_lastmodifieddate'
  /** Scopes of which one suffices to read it. */
  readonly scopes: readonly string[]
  readonly searchable: boolean
  /** Properties that come when none are asked for, besides id and dates. */
  readonly usual: readonly string[]
  /** Where ids start. */
  readonly firstId: number
  /** Property definitions, as parseProperties reads them. */
  readonly properties: string
}

type Extra = Partial<Pick<ObjectType, 'singular' | 'created' | 'scopes' | 'searchable' | 'usual'>>

const startIds = [21_000_101, 404_000_001, 7_086_461_639, 60_000_000_011, 513_881_705_001]

function standard(typeId: string, name: string, properties: string, extra: Extra = {}): ObjectType {
  const id = Number(typeId.slice(2))
  return {
    name,
    singular: name.replace(/ies$/, 'y').replace(/(?<!s)s$/, ''),
    typeId,
    custom: false,
    created: 'hs_createdate',
    modified: 'hs_lastmodifieddate',
    scopes: [`crm.objects.${name}.read`],
    searchable: true,
    usual: [],
    firstId: startIds[id % startIds.length]!,
    properties,
    ...extra,
  }
}

const activity: Extra = { scopes: ['crm.objects.contacts.read'] }
const lines: Extra = { scopes: ['crm.objects.line_items.read'] }
const titled = 'hs_name | Name | string/text | thing ?5'
const statuses = 'hs_status | Status | enumeration/select | pick ?10 | draft=Draft,open=Open,paid=Paid,voided=Voided'

/** Every standard object that can be listed, with where HubSpot keeps its dates and which scopes read it. */
export const standardTypes: readonly ObjectType[] = [
  { ...standard('0-1', 'contacts', contactProperties, { created: 'createdate', usual: ['email', 'firstname', 'lastname'] }), modified: 'lastmodifieddate', firstId: 101 },
  standard('0-2', 'companies', companyProperties, { created: 'createdate', usual: ['domain', 'name'] }),
  standard('0-3', 'deals', dealProperties, { created: 'createdate', usual: ['amount', 'closedate', 'dealname', 'dealstage', 'pipeline'] }),
  standard('0-5', 'tickets', ticketProperties, { created: 'createdate', scopes: ['tickets', 'crm.objects.tickets.read'], usual: ['content', 'hs_pipeline', 'hs_pipeline_stage', 'hs_ticket_category', 'hs_ticket_priority', 'subject'] }),
  standard('0-7', 'products', `name | Name | string/text | thing
description | Product description | string/textarea | long ?40
price | Unit price | number/number | money ?5
hs_cost_of_goods_sold | Unit cost | number/number | decimal 3 500 ?50
hs_sku | SKU | string/text | code SKU- ?20 | | unique
hs_recurring_billing_period | Term | string/text | is P12M ?60
hs_images | Images | string/text | url ?70
hs_product_type | Product type | enumeration/select | pick ?30 | inventory=Inventory,non_inventory=Non-inventory,service=Service${moneyProperties}`, { created: 'createdate', scopes: ['crm.objects.products.read', 'e-commerce'], usual: ['description', 'name', 'price'] }),
  standard('0-8', 'line_items', `name | Name | string/text | thing
quantity | Quantity | number/number | int 1 40
price | Unit price | number/number | money ?3
amount | Net price | number/calculation_equation | money | | calculated
discount | Unit discount | number/number | decimal 2 50 ?70
hs_discount_percentage | Discount percentage | number/number | decimal 4 100 ?80
hs_product_id | Product ID | number/number | big ?20
hs_recurring_billing_start_date | Billing start date | date/date | date 2 ?60
tax | Tax | number/number | decimal 2 90 ?60${moneyProperties}`, { created: 'createdate', usual: ['hs_product_id', 'quantity'] }),
  standard('0-14', 'quotes', `hs_title | Quote name | string/text | text 6
hs_status | Quote status | enumeration/select | pick | DRAFT=Draft,APPROVAL_NOT_NEEDED=Approval not needed,PENDING_APPROVAL=Pending approval,APPROVED=Approved,REJECTED=Rejected
hs_expiration_date | Expiration date | datetime/date | datetime ?5
hs_public_url_key | Public URL key | string/text | uuid | | readonly
hs_quote_amount | Quote amount | number/number | money ?10 | | calculated
hs_terms | Purchase terms | string/textarea | long ?50${moneyProperties}`, { scopes: ['crm.objects.quotes.read', 'e-commerce'], usual: ['hs_expiration_date', 'hs_public_url_key', 'hs_status', 'hs_title'] }),
  standard('0-18', 'communications', `hs_communication_channel_type | Channel | enumeration/select | pick | SMS=SMS,WHATS_APP=WhatsApp,LINKEDIN_MESSAGE=LinkedIn
hs_communication_body | Body | string/html | html ?10${activityProperties}`, activity),
  standard('0-19', 'feedback_submissions', `hs_survey_name | Survey name | string/text | text 4
hs_content | Content | string/textarea | long ?40
hs_value | Rating | number/number | int 0 10
hs_submission_timestamp | Submission date | datetime/date | datetime`, { scopes: ['crm.objects.feedback_submissions.read', 'crm.objects.contacts.read'] }),
  standard('0-27', 'tasks', `hs_task_subject | Task title | string/text | text 8
hs_task_body | Notes | string/html | html ?40
hs_task_status | Task status | enumeration/select | pick | NOT_STARTED=Not started,IN_PROGRESS=In progress,WAITING=Waiting,COMPLETED=Completed,DEFERRED=Deferred
hs_task_priority | Priority | enumeration/select | pick ?20 | NONE=None,LOW=Low,MEDIUM=Medium,HIGH=High
hs_task_type | Task type | enumeration/select | pick | TODO=To-do,CALL=Call,EMAIL=Email
hs_task_completion_date | Completed at | datetime/date | datetime ?50${activityProperties}`, activity),
  standard('0-46', 'notes', `hs_note_body | Note body | string/html | long${activityProperties}`, activity),
  standard('0-47', 'meetings', `hs_meeting_title | Meeting name | string/text | text 6
hs_meeting_body | Meeting description | string/html | html ?30
hs_meeting_start_time | Start time | datetime/date | datetime
hs_meeting_end_time | End time | datetime/date | datetime
hs_meeting_location | Location | string/text | city ?30
hs_meeting_outcome | Outcome | enumeration/select | pick ?20 | SCHEDULED=Scheduled,COMPLETED=Completed,NO_SHOW=No show,CANCELED=Canceled${activityProperties}`, activity),
  standard('0-48', 'calls', `hs_call_title | Call title | string/text | text 5
hs_call_body | Call notes | string/html | html ?30
hs_call_direction | Call direction | enumeration/select | pick | INBOUND=Inbound,OUTBOUND=Outbound
hs_call_duration | Call duration | number/number | int 0 7200000 ?20
hs_call_from_number | From number | string/text | phone ?10
hs_call_status | Call status | enumeration/select | pick | COMPLETED=Completed,BUSY=Busy,NO_ANSWER=No answer,FAILED=Failed${activityProperties}`, activity),
  standard('0-49', 'emails', `hs_email_subject | Email subject | string/text | text 9
hs_email_text | Text body | string/textarea | long ?15
hs_email_html | HTML body | string/html | html ?15
hs_email_direction | Email direction | enumeration/select | pick | EMAIL=Email sent,INCOMING_EMAIL=Incoming email,FORWARDED_EMAIL=Forwarded email
hs_email_status | Email send status | enumeration/select | pick ?10 | BOUNCED=Bounced,SENT=Sent,FAILED=Failed,SCHEDULED=Scheduled
hs_email_headers | Headers | json/text | json ?30${activityProperties}`, activity),
  standard('0-53', 'invoices', `hs_number | Invoice number | string/text | code INV-
hs_invoice_status | Invoice status | enumeration/select | pick | draft=Draft,open=Open,paid=Paid,voided=Voided
hs_amount_billed | Amount billed | number/number | money
hs_balance_due | Balance due | number/number | money ?20
hs_invoice_date | Invoice date | date/date | date 2
hs_due_date | Due date | date/date | date 1 ?20${moneyProperties}`),
  standard('0-54', 'marketing_events', `${titled}
hs_event_type | Event type | string/text | text 2
hs_start_datetime | Start date | datetime/date | datetime
hs_attendees | Attendees | number/number | int 0 900`),
  standard('0-69', 'subscriptions', `${titled}
${statuses}
hs_recurring_billing_start_date | Start date | date/date | date 2
hs_next_payment_amount | Next payment amount | number/number | money${moneyProperties}`),
  standard('0-74', 'goal_targets', `hs_goal_name | Goal name | string/text | text 5
hs_target_amount | Target amount | number/number | money
hs_start_datetime | Start date | datetime/date | datetime
hs_end_datetime | End date | datetime/date | datetime`, { scopes: ['crm.objects.goals.read'] }),
  ...['0-84 discounts', '0-85 fees', '0-86 taxes'].map((both) => {
    const [typeId = '', name = ''] = both.split(' ')
    return standard(typeId, name, `hs_label | Label | string/text | thing
hs_type | Type | enumeration/select | pick | PERCENT=Percent,FIXED=Fixed
hs_value | Value | number/number | decimal 2 90${moneyProperties}`, lines)
  }),
  standard('0-101', 'commerce_payments', `hs_initial_amount | Gross amount | number/number | money
hs_initiated_date | Payment date | datetime/date | datetime
hs_customer_email | Customer email | string/text | email
hs_latest_status | Status | enumeration/select | pick | succeeded=Succeeded,failed=Failed,refunded=Refunded,processing=Processing${moneyProperties}`, { scopes: ['crm.objects.commercepayments.read'] }),
  standard('0-115', 'users', `hs_given_name | First name | string/text | first
hs_family_name | Last name | string/text | last
hs_email | Email | string/text | email
hs_job_title | Job title | string/text | job ?30
hs_internal_user_id | Internal user ID | number/number | int 9000000 9000040 | | readonly
hs_working_hours | Working hours | json/text | json ?30`),
  standard('0-116', 'postal_mail', `hs_postal_mail_body | Body | string/html | html${activityProperties}`, activity),
  standard('0-123', 'orders', `hs_order_name | Order name | string/text | text 4
hs_total_price | Total price | number/number | money
hs_fulfillment_status | Fulfilment status | string/text | text 1 ?40
hs_shipping_address_city | Shipping city | string/text | city ?20${stagedProperties}${moneyProperties}`),
  standard('0-136', 'leads', `hs_lead_name | Lead name | string/text | first
hs_lead_label | Lead label | enumeration/select | pick ?10 | HOT=Hot,WARM=Warm,COLD=Cold
hs_lead_type | Lead type | enumeration/select | pick ?30 | NEW_BUSINESS=New business,UPSELL=Upsell,RE_ATTEMPTING=Re-attempting${stagedProperties}`),
  standard('0-142', 'carts', `hs_cart_name | Cart name | string/text | text 4
hs_total_price | Total price | number/number | money
hs_cart_url | Cart URL | string/text | url${moneyProperties}`),
  ...['0-162 services', '0-410 courses', '0-420 listings', '0-421 appointments', '0-970 projects'].map((both) => {
    const [typeId = '', name = ''] = both.split(' ')
    return standard(typeId, name, `${titled}
hs_description | Description | string/textarea | long ?40
hs_start_date | Start date | datetime/date | datetime ?20
hs_price | Price | number/number | money ?40${stagedProperties}`)
  }),
  standard('0-981', 'contracts', `${titled}
${statuses}
hs_contract_start | Start | date/date | date 3
hs_contract_value | Value | number/number | money${moneyProperties}`, { searchable: false }),
]

/** The scope that reads an object's definition, besides those that read its records. */
export function schemaScope(type: ObjectType): string {
  return `crm.schemas.${type.custom ? 'custom' : type.name}.read`
}

/** The scopes that let one change an object's records. */
export function writeScopes(type: ObjectType): string[] {
  return type.scopes.map((scope) => scope.replace(/\.read$/, '.write'))
}

/** Every scope that concerns an object. */
export function allScopes(type: ObjectType): string[] {
  return [...type.scopes, ...writeScopes(type), schemaScope(type)]
}

/** Types that an account must activate before it can use them. */
export const activatedTypes: readonly string[] = ['services', 'courses', 'listings', 'appointments']

/** The schema of a custom object of which only the name was given. */
export const customProperties = `
vin | VIN | string/text | code VIN ?2 | | unique
make | Make | string/text | company ?5
model_year | Model year | number/number | int 1990 2027 ?5
color | Colour | enumeration/select | pick ?15 | red=Red,blue=Blue,silver=Silver,rosé=Rosé,black=Black
features | Features | enumeration/checkbox | picks ?20 | abs=ABS,gps=GPS,sun_roof=Sun roof,heated seats=Heated seats
price | Price | number/number | money ?10
electric | Electric | bool/booleancheckbox | bool ?10
purchased_on | Purchased on | date/date | date 5 ?20
last_service_at | Last service | datetime/date | datetime ?30
driver_phone | Driver's phone | phone_number/phonenumber | phone ?50
telemetry | Telemetry | json/text | json ?50
notes | Notes | string/textarea | long ?40
`
