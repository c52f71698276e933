
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    



select tokens
from "y"."stats"."shard_fill"
where tokens is null



  
  
      
    ) dbt_internal_test