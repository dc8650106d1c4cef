const lifecycle = 'subscriber=Subscriber,lead=Lead,marketingqualifiedlead=Marketing Qualified Lead,salesqualifiedlead=Sales Qualified Lead,opportunity=Opportunity,customer=Customer,evangelist=Evangelist,other=Other'
const sources = 'ORGANIC_SEARCH=Organic search,PAID_SEARCH=Paid search,EMAIL_MARKETING=Email marketing,SOCIAL_MEDIA=Organic social,REFERRALS=Referrals,DIRECT_TRAFFIC=Direct traffic,OFFLINE=Offline sources,PAID_SOCIAL=Paid social'

/** Properties of contacts, besides those that every object has. */
export const contactProperties = `
email | Email | string/text | email ?4 | | unique
firstname | First Name | string/text | first ?3
lastname | Last Name | string/text | last ?3
salutation | Salutation | string/text | text 1 ?80
jobtitle | Job Title | string/text | job ?20
company | Company Name | string/text | company ?25
phone | Phone Number | string/phonenumber | phone ?30
mobilephone | Mobile Phone Number | string/phonenumber | phone ?60
fax | Fax Number | string/phonenumber | phone ?95
address | Street Address | string/text | street ?40
city | City | string/text | city ?30
state | State/Region | string/text | text 2 ?70
zip | Postal Code | string/text | zip ?35
country | Country/Region | string/text | country ?30
website | Website URL | string/text | url ?50
message | Message | string/textarea | long ?60
date_of_birth | Date of birth | string/text | date 60 ?90
annualrevenue | Annual Revenue | string/text | money ?85
industry | Industry | string/text | text 3 ?80
numemployees | Number of Employees | enumeration/select | pick ?70 | 1-5,5-25,25-50,50-100,100-500,500-1000,1000+
lifecyclestage | Lifecycle Stage | enumeration/radio | pick ?5 | ${lifecycle}
hs_lead_status | Lead Status | enumeration/radio | pick ?50 | NEW=New,OPEN=Open,IN_PROGRESS=In Progress,OPEN_DEAL=Open Deal,UNQUALIFIED=Unqualified,ATTEMPTED_TO_CONTACT=Attempted to Contact,CONNECTED=Connected,BAD_TIMING=Bad Timing
hs_buying_role | Buying Role | enumeration/checkbox | picks ?70 | BLOCKER=Blocker,BUDGET_HOLDER=Budget Holder,CHAMPION=Champion,DECISION_MAKER=Decision Maker,END_USER=End User,INFLUENCER=Influencer,OTHER=Other
hs_persona | Persona | enumeration/radio | pick ?90 | persona_1=Buyer,persona_2=Champion
hs_language | Preferred language | enumeration/select | pick ?60 | de=German,en=English,es=Spanish,fr=French,ja=Japanese,pt-br=Portuguese - Brazil
hs_timezone | Time Zone | enumeration/select | pick ?60 | europe_slash_berlin=Europe/Berlin,america_slash_new__york=America/New York,asia_slash_tokyo=Asia/Tokyo
hs_email_domain | Email Domain | string/text | domain ?10 | | calculated
hs_additional_emails | Additional email addresses | enumeration/checkbox | none
hs_email_optout | Unsubscribed from all email | bool/booleancheckbox | bool ?60 | | readonly
hs_email_bounce | Marketing emails bounced | number/number | int 0 3 ?80 | | readonly
hs_email_delivered | Marketing emails delivered | number/number | int 0 250 ?50 | | readonly
hs_email_open | Marketing emails opened | number/number | int 0 100 ?60 | | readonly
hs_email_click | Marketing emails clicked | number/number | int 0 20 ?80 | | readonly
hs_email_last_send_date | Last marketing email send date | datetime/date | datetime ?60 | | readonly
hs_email_last_open_date | Last marketing email open date | datetime/date | datetime ?70 | | readonly
hs_email_quarantined | Email address quarantined | bool/booleancheckbox | bool ?85 | | readonly
hs_marketable_status | Marketing contact status | enumeration/booleancheckbox | pick ?10 | true=Marketing contact,false=Non-marketing contact | readonly
hs_analytics_source | Original Traffic Source | enumeration/select | pick | ${sources} | readonly
hs_analytics_source_data_1 | Original Traffic Source Drill-Down 1 | string/text | text 2 ?20 | | readonly
hs_analytics_source_data_2 | Original Traffic Source Drill-Down 2 | string/text | text 3 ?40 | | readonly
hs_latest_source | Latest Traffic Source | enumeration/select | pick | ${sources} | readonly
hs_latest_source_timestamp | Latest Traffic Source Date | datetime/date | datetime | | readonly
hs_analytics_first_timestamp | Time First Seen | datetime/date | datetime | | readonly
hs_analytics_last_timestamp | Time Last Seen | datetime/date | datetime ?50 | | readonly
hs_analytics_first_url | First Page Seen | string/text | url ?50 | | readonly
hs_analytics_last_url | Last Page Seen | string/text | url ?60 | | readonly
hs_analytics_num_page_views | Number of Pageviews | number/number | int 0 400 | | readonly
hs_analytics_num_visits | Number of Sessions | number/number | int 0 90 | | readonly
hs_analytics_average_page_views | Average Pageviews | number/number | int 0 12 | | readonly
hs_analytics_revenue | Event Revenue | number/number | decimal 1 5000 | | readonly
hs_all_contact_vids | All vids for a contact | enumeration/checkbox | own | | calculated hidden
hs_calculated_merged_vids | Merged vids with timestamps of a contact | enumeration/checkbox | none | | calculated hidden
hs_calculated_phone_number | Calculated Phone Number | string/text | phone ?40 | | calculated hidden
hs_calculated_phone_number_country_code | Calculated Phone Number Country Code | string/text | pick ?40 | US,DE,BR,JP | calculated hidden
hs_searchable_calculated_phone_number | Searchable Phone Number | string/text | phone ?40 | | calculated hidden
hs_full_name_or_email | Full name or email | string/calculation_equation | first | | calculated
hs_is_contact | Is a contact | bool/booleancheckbox | is true | | readonly hidden
hs_is_unworked | Contact unworked | bool/calculation_read_time | bool | | calculated
hs_pipeline | Pipeline | enumeration/select | is contacts-lifecycle-pipeline | contacts-lifecycle-pipeline=Lifecycle Stage Pipeline | readonly
hs_predictivecontactscore_v2 | Likelihood to close | number/number | decimal 2 100 ?60 | | readonly
hs_predictivescoringtier | Contact priority | enumeration/radio | pick ?60 | tier_1=Very High,tier_2=High,tier_3=Medium,tier_4=Low | readonly
hubspotscore | HubSpot Score | number/score | int -20 300 | | calculated
hs_lifecyclestage_lead_date | Became a Lead Date | datetime/date | datetime ?40 | | readonly
hs_lifecyclestage_customer_date | Became a Customer Date | datetime/date | datetime ?80 | | readonly
hs_sequences_is_enrolled | Currently in Sequence | bool/booleancheckbox | bool ?50 | | readonly
hs_sequences_actively_enrolled_count | Number of sequences actively enrolled | number/number | int 0 2 | | readonly
hs_registered_member | Registered member | number/number | int 0 1 ?90 | | hidden
hs_social_linkedin_clicks | LinkedIn Clicks | number/number | is 0 | | readonly
hs_facebook_click_id | Facebook click id | string/text | code fb. ?95
hs_google_click_id | Google ad click id | string/text | code gcl ?92
hs_ip_timezone | IP Timezone | string/text | none
hs_legal_basis | Legal basis for processing contact's data | enumeration/checkbox | picks ?60 | Legitimate interest – prospect/lead,Freely given consent from contact,Performance of a contract,Not applicable
hs_lastmodifieddate | Object last modified date/time | datetime/date | none | | readonly hidden
associatedcompanyid | Primary Associated Company ID | number/number | big ?40 | | readonly
associatedcompanylastupdated | Associated Company Last Updated | number/number | none | | readonly hidden
num_associated_deals | Number of Associated Deals | number/number | int 1 9 ?70 | | calculated
num_conversion_events | Number of Form Submissions | number/number | int 0 12 | | readonly
num_unique_conversion_events | Number of Unique Forms Submitted | number/number | int 0 4 | | readonly
num_notes | Number of Sales Activities | number/number | int 1 60 ?50 | | readonly
notes_last_contacted | Last Contacted | datetime/date | datetime ?50 | | readonly
notes_last_updated | Last Activity Date | datetime/date | datetime ?40 | | readonly
notes_next_activity_date | Next Activity Date | datetime/date | datetime ?85 | | readonly
first_conversion_date | First Conversion Date | datetime/date | datetime ?60 | | readonly
first_conversion_event_name | First Conversion | string/text | text 6 ?60 | | readonly
first_deal_created_date | First Deal Created Date | datetime/date | datetime ?70 | | readonly
recent_deal_amount | Recent Deal Amount | number/number | money ?75 | | calculated
recent_deal_close_date | Recent Deal Close Date | datetime/date | datetime ?80 | | readonly
total_revenue | Total Revenue | number/number | money ?75 | | calculated
closedate | Close Date | datetime/date | datetime ?80
days_to_close | Days To Close | number/number | int 0 900 ?80 | | readonly
currentlyinworkflow | Currently in workflow | enumeration/booleancheckbox | pick ?70 | true=True,false=False | readonly
followercount | Follower Count | number/number | int 0 90000 ?90
favourite_colours | Favourite colours | enumeration/checkbox | picks ?20 | red,green,blue,violet,black
customer_since | Customer since | date/date | date 6 ?60
loyalty_points | Loyalty points | number/number | decimal 3 100000 ?30
whatsapp | WhatsApp number | phone_number/phonenumber | phone ?60
newsletter | Newsletter | bool/booleancheckbox | bool ?15
crm_payload | Payload of the old CRM | json/text | json ?70 | | hidden
remarks | Remarks | string/textarea | long ?35
`
