
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  select * from "y"."stats"."model_calls" where calls <> ok + errors
  
  
      
    ) dbt_internal_test