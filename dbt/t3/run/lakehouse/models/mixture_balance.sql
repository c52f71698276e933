
    
      
    

    create  table
      "y"."stats"."mixture_balance__dbt_tmp"
  
  (
    "table" varchar,
    component varchar,
    available_tokens bigint,
    target_tokens bigint,
    target_share double,
    documents bigint,
    unique_tokens bigint,
    tokens bigint,
    share double
    
    )
 ;
    
    
    insert into "y"."stats"."mixture_balance__dbt_tmp" 
  (
    
      
      
      "table" ,
    
      
      
      component ,
    
      
      
      available_tokens ,
    
      
      
      target_tokens ,
    
      
      
      target_share ,
    
      
      
      documents ,
    
      
      
      unique_tokens ,
    
      
      
      tokens ,
    
      
      
      share 
    
  )
 (
      
    select "table", component, available_tokens, target_tokens, target_share, documents, unique_tokens, tokens, share
    from (
        with newest as (
    select "table", arg_max(details, version) as details
    from "y"."lake"."versions"
    where "table" like 'mixtures/%'
    group by all
),

components as (
    select
        "table",
        unnest(
            from_json(
                json_extract(details, '$.summary'),
                '[{"component": "VARCHAR", "weight": "DOUBLE", "target_tokens": "BIGINT", "available_tokens": "BIGINT"}]'
            ),
            recursive := true
        )
    from newest
),

members as (
    select "table", component, doc_id, any_value(tokens) as tokens, sum(repeats) as repeats
    from "y"."lake"."mixtures"
    group by all
),

drawn as (
    select
        "table",
        component,
        count(*) as documents,
        sum(tokens) as unique_tokens,
        sum(tokens * repeats) as tokens
    from members
    group by all
)

select
    "table",
    component,
    components.available_tokens,
    components.target_tokens,
    components.weight / sum(components.weight) over of_mixture as target_share,
    coalesce(drawn.documents, 0)::bigint as documents,
    coalesce(drawn.unique_tokens, 0)::bigint as unique_tokens,
    coalesce(drawn.tokens, 0)::bigint as tokens,
    drawn.tokens / sum(drawn.tokens) over of_mixture as share
from components
full join drawn using ("table", component)
window of_mixture as (partition by "table")
order by all
    ) as model_subq
    );
  