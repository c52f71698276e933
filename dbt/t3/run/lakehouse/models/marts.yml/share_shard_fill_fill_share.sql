
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  

select fill_share
from "y"."stats"."shard_fill"
where not fill_share between 0 and 1

  
  
      
    ) dbt_internal_test