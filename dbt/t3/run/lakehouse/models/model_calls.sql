
    
      
    

    create  table
      "y"."stats"."model_calls__dbt_tmp"
  
  (
    "table" varchar,
    recipe varchar,
    model varchar,
    calls bigint,
    ok bigint,
    errors bigint,
    prompt_tokens bigint,
    completion_tokens bigint,
    cost_usd decimal(38,9)
    
    )
 ;
    
    
    insert into "y"."stats"."model_calls__dbt_tmp" 
  (
    
      
      
      "table" ,
    
      
      
      recipe ,
    
      
      
      model ,
    
      
      
      calls ,
    
      
      
      ok ,
    
      
      
      errors ,
    
      
      
      prompt_tokens ,
    
      
      
      completion_tokens ,
    
      
      
      cost_usd 
    
  )
 (
      
    select "table", recipe, model, calls, ok, errors, prompt_tokens, completion_tokens, cost_usd
    from (
        select
    "table",
    recipe,
    model,
    count(*) as calls,
    count(*) filter (status = 'ok') as ok,
    count(*) filter (status = 'error') as errors,
    coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
    coalesce(sum(completion_tokens), 0)::bigint as completion_tokens,
    sum(cost_usd)::decimal(38, 9) as cost_usd
from "y"."lake"."generations"
group by all
order by all
    ) as model_subq
    );
  