/** Properties of companies, besides those that every object has. */
export const companyProperties = `
name | Company name | string/text | company ?1
domain | Company Domain Name | string/text | domain ?8
website | Website URL | string/text | url ?20
description | Description | string/textarea | long ?40
about_us | About Us | string/textarea | long ?70
phone | Phone Number | string/phonenumber | phone ?40
address | Street Address | string/text | street ?30
address2 | Street Address 2 | string/text | street ?90
city | City | string/text | city ?20
state | State/Region | string/text | text 2 ?60
zip | Postal Code | string/text | zip ?25
country | Country/Region | string/text | country ?20
timezone | Time Zone | string/text | is Europe/Berlin ?50
industry | Industry | enumeration/select | pick ?30 | COMPUTER_SOFTWARE=Computer Software,FINANCIAL_SERVICES=Financial Services,RETAIL=Retail,FOOD_BEVERAGES=Food & Beverages,MACHINERY=Machinery,EDUCATION_MANAGEMENT=Education Management
type | Type | enumeration/radio | pick ?60 | PROSPECT=Prospect,PARTNER=Partner,RESELLER=Reseller,VENDOR=Vendor,OTHER=Other
lifecyclestage | Lifecycle Stage | enumeration/radio | pick ?10 | subscriber=Subscriber,lead=Lead,marketingqualifiedlead=Marketing Qualified Lead,salesqualifiedlead=Sales Qualified Lead,opportunity=Opportunity,customer=Customer,evangelist=Evangelist,other=Other
hs_lead_status | Lead Status | enumeration/radio | pick ?60 | NEW=New,OPEN=Open,IN_PROGRESS=In Progress,UNQUALIFIED=Unqualified
numberofemployees | Number of Employees | number/number | int 1 250000 ?30
annualrevenue | Annual Revenue | number/number | money ?40
founded_year | Year Founded | string/text | int 1850 2026 ?60
is_public | Is Public | bool/booleancheckbox | bool ?50
hs_is_target_account | Target Account | bool/booleancheckbox | bool ?80
hs_target_account | Target Account tier | enumeration/radio | pick ?80 | tier_1=Tier 1,tier_2=Tier 2,tier_3=Tier 3
hs_ideal_customer_profile | Ideal Customer Profile Tier | enumeration/radio | pick ?80 | tier_1=Tier 1,tier_2=Tier 2
hs_parent_company_id | Parent Company | number/number | big ?85
hs_num_child_companies | Number of child companies | number/number | int 0 4 | | calculated
hs_additional_domains | Additional Domains | enumeration/checkbox | none
hs_country_code | Country/Region Code | string/text | pick ?30 | DE,US,JP,FR
hs_total_deal_value | Total open deal value | number/calculation_rollup | money ?70 | | calculated
hs_num_open_deals | Number of open deals | number/calculation_rollup | int 0 9 | | calculated
num_associated_contacts | Number of Associated Contacts | number/calculation_rollup | int 0 40 | | calculated
num_associated_deals | Number of Associated Deals | number/calculation_rollup | int 1 20 ?60 | | calculated
hs_analytics_source | Original Traffic Source | enumeration/select | pick | ORGANIC_SEARCH=Organic search,REFERRALS=Referrals,DIRECT_TRAFFIC=Direct traffic,OFFLINE=Offline sources | readonly
hs_analytics_num_visits | Number of Sessions | number/calculation_rollup | int 0 900 ?20 | | calculated
hs_analytics_last_timestamp | Time Last Seen | datetime/calculation_rollup | datetime ?50 | | calculated
notes_last_contacted | Last Contacted | datetime/date | datetime ?50 | | readonly
notes_last_updated | Last Activity Date | datetime/date | datetime ?50 | | readonly
num_notes | Number of Sales Activities | number/number | int 1 90 ?50 | | readonly
closedate | Close Date | datetime/date | datetime ?70 | | readonly
days_to_close | Days to Close | number/number | int 0 600 ?80 | | readonly
first_contact_createdate | First Contact Create Date | datetime/date | datetime ?30 | | readonly
recent_deal_amount | Recent Deal Amount | number/number | money ?70 | | readonly
total_revenue | Total Revenue | number/number | money ?70 | | readonly
linkedin_company_page | LinkedIn Company Page | string/text | url ?70
twitterhandle | Twitter Handle | string/text | code @ ?80
web_technologies | Web Technologies | enumeration/checkbox | picks ?50 | postgresql=PostgreSQL,wordpress=WordPress,shopify=Shopify,node_js=Node.js,cloudflare=Cloudflare
hs_pipeline | Pipeline | enumeration/select | is companies-lifecycle-pipeline | companies-lifecycle-pipeline=Lifecycle Stage Pipeline | readonly
customer_number | Customer number | string/text | code C- ?30 | | unique
contract_until | Contract until | date/date | date 3 ?60
credit_limit | Credit limit | number/number | money ?60
`

/** Properties of deals, besides those that every object has. */
export const dealProperties = `
dealname | Deal Name | string/text | deal
amount | Amount | number/number | money ?12
pipeline | Pipeline | enumeration/select | pipeline
dealstage | Deal Stage | enumeration/radio | stage
closedate | Close Date | datetime/date | datetime ?10
dealtype | Deal Type | enumeration/radio | pick ?35 | newbusiness=New Business,existingbusiness=Existing Business
description | Deal Description | string/textarea | long ?50
deal_currency_code | Currency | enumeration/select | pick ?5 | EUR=Euro,USD=US Dollar,GBP=British Pound
hs_priority | Priority | enumeration/select | pick ?55 | low=Low,medium=Medium,high=High
hs_forecast_amount | Forecast Amount | number/number | money ?15 | | calculated
hs_forecast_probability | Forecast Probability | number/number | decimal 2 1 ?40
hs_manual_forecast_category | Forecast category | enumeration/radio | pick ?60 | OMIT=Not forecasted,PIPELINE=Pipeline,BEST_CASE=Best case,COMMIT=Commit,CLOSED=Closed
hs_deal_stage_probability | Deal probability | number/number | decimal 2 1 | | calculated
hs_projected_amount | Weighted amount | number/calculation_equation | decimal 4 50000 ?15 | | calculated
hs_projected_amount_in_home_currency | Weighted amount in company currency | number/calculation_equation | decimal 6 50000 ?15 | | calculated
amount_in_home_currency | Amount in company currency | number/calculation_equation | money ?12 | | calculated
hs_acv | Annual contract value | number/number | money ?60
hs_arr | Annual recurring revenue | number/number | money ?60
hs_mrr | Monthly recurring revenue | number/number | decimal 2 900 ?60
hs_tcv | Total contract value | number/number | money ?60
hs_exchange_rate | Exchange rate | number/number | decimal 8 2 ?70 | | readonly
hs_is_closed | Is Deal Closed? | bool/calculation_equation | bool | | calculated
hs_is_closed_won | Is Closed Won | bool/calculation_equation | bool | | calculated
hs_is_closed_lost | Is closed lost | bool/calculation_equation | bool | | calculated
hs_closed_amount | Closed Deal Amount | number/calculation_equation | money ?40 | | calculated
hs_closed_won_count | Closed won count | number/calculation_equation | int 0 1 | | calculated
hs_days_to_close | Days to close | number/calculation_equation | int 0 300 ?40 | | calculated
days_to_close | Days to close without rounding | number/calculation_equation | int 0 300 ?40 | | calculated
hs_is_stalled | Is Stalled | bool/calculation_read_time | bool ?40 | | calculated
hs_next_step | Next step | string/textarea | text 9 ?60
hs_next_step_updated_at | Next Step Updated At | datetime/date | datetime ?70 | | readonly
hs_num_associated_deal_splits | Number of deal splits | number/number | is 0 ?60 | | calculated
hs_num_of_associated_line_items | Number of line items | number/number | int 0 12 | | calculated
hs_date_entered_closedwon | Date entered "Closed Won" | datetime/date | datetime ?80 | | calculated
hs_date_entered_appointmentscheduled | Date entered "Appointment Scheduled" | datetime/date | datetime ?20 | | calculated
hs_time_in_appointmentscheduled | Time in "Appointment Scheduled" | number/number | big ?60 | | calculated
hs_v2_time_in_current_stage | Time in current stage | datetime/date | datetime | | calculated
hs_v2_date_entered_current_stage | Date entered current stage | datetime/date | datetime | | calculated
hs_deal_score | Deal Score | number/number | int 0 100 ?50 | | readonly
hs_predicted_amount | Predicted amount | number/number | none | | calculated
hs_tag_ids | Deal Tags | enumeration/checkbox | picks ?70 | 10001=Hot,10002=Cold,10003=At risk
hs_closed_won_date | Closed won date | datetime/date | datetime ?70 | | calculated
closed_lost_reason | Closed Lost Reason | string/textarea | text 12 ?80
closed_won_reason | Closed Won Reason | string/textarea | text 12 ?80
num_associated_contacts | Number of Associated Contacts | number/number | int 0 5 | | calculated
num_contacted_notes | Number of times contacted | number/number | int 0 30 ?50 | | readonly
notes_last_updated | Last Activity Date | datetime/date | datetime ?40 | | readonly
hs_analytics_source | Original Traffic Source | enumeration/select | pick ?20 | ORGANIC_SEARCH=Organic search,REFERRALS=Referrals,OFFLINE=Offline sources | readonly
order_reference | Order reference | string/text | code ORD- ?40 | | unique
contract_start | Contract start | date/date | date 2 ?50
modules | Modules | enumeration/checkbox | picks ?20 | crm,billing,reporting,single sign-on
`

/** Properties of tickets, besides those that every object has. */
export const ticketProperties = `
subject | Ticket name | string/text | text 9
content | Ticket description | string/textarea | long ?8
hs_pipeline | Pipeline | enumeration/select | pipeline
hs_pipeline_stage | Ticket status | enumeration/select | stage
hs_ticket_priority | Priority | enumeration/select | pick ?25 | LOW=Low,MEDIUM=Medium,HIGH=High,URGENT=Urgent
hs_ticket_category | Category | enumeration/checkbox | picks ?40 | PRODUCT_ISSUE=Product Issue,BILLING_ISSUE=Billing Issue,FEATURE_REQUEST=Feature Request,GENERAL_INQUIRY=General Inquiry
hs_ticket_id | Ticket ID | number/number | own | | readonly
source_type | Source | enumeration/select | pick ?15 | CHAT=Chat,EMAIL=Email,FORM=Form,PHONE=Phone
source_ref | Source Reference Id | string/text | uuid ?50 | | hidden
source_thread_id | Reference to email thread | string/text | uuid ?60 | | hidden
closed_date | Close date | datetime/date | datetime ?45 | | readonly
first_agent_reply_date | First agent email response date | datetime/date | datetime ?30 | | readonly
hs_last_message_received_at | Last message received date | datetime/date | datetime ?40 | | readonly
hs_last_message_sent_at | Last response date | datetime/date | datetime ?45 | | readonly
hs_lastactivitydate | Last Activity Date | datetime/date | datetime ?40 | | readonly
time_to_close | Time to close | number/number | big ?50 | | calculated
time_to_first_agent_reply | Time to first agent email reply | number/number | int 1000 9000000 ?40 | | calculated
hs_resolution | Resolution | enumeration/select | pick ?60 | ISSUE_FIXED=Issue Fixed,REIMBURSEMENT=Reimbursement,NO_RESPONSE=No Response,OTHER=Other
hs_is_closed | Is closed | bool/calculation_equation | bool | | calculated
hs_num_times_contacted | Number of times contacted | number/number | int 0 40 | | readonly
hs_num_associated_companies | Number of associated companies | number/number | int 0 3 | | calculated
num_notes | Number of Sales Activities | number/number | int 1 30 ?40 | | readonly
nps_score | Conversation NPS score | enumeration/radio | pick ?80 | 0,1,2,3,4,5,6,7,8,9,10
nps_follow_up_answer | NPS follow up | string/textarea | long ?90
hs_custom_inbox | Custom inbox ID | number/number | big ?80 | | hidden
hs_in_helpdesk | In help desk | bool/booleancheckbox | bool ?40 | | readonly
hs_secondary_user_ids | Ticket collaborators | enumeration/checkbox | none | | hidden
hs_tag_ids | Ticket Tags | enumeration/checkbox | picks ?80 | 20001=VIP,20002=Escalated
hs_ticket_reopened_at | Ticket reopened at | datetime/date | datetime ?85 | | readonly
hs_auto_generated_from_thread_id | Auto-generated from thread id | number/number | none | | readonly hidden
due_on | Due on | date/date | date 1 ?60
effort_hours | Effort in hours | number/number | decimal 1 40 ?50
serial_number | Serial number | string/text | code SN ?50
`
